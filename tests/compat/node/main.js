// The kafkajs side of Dohle's cluster tests: `node main.js BOOTSTRAP TOPIC`.
// It walks through a topic's life, prints one fact a line to standard output, and kafkajs's own warnings and errors to
// standard error, where a test looks for them. kafkajs's public consumer needs a group; records are fetched back with
// the requests that it is built on.
'use strict'
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require('kafkajs')
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'

const [bootstrap, topic] = process.argv.slice(2)
const codecs = ['None', 'GZIP', 'Snappy']
const partitions = 3
const recordsEach = 1000

const kafka = new Kafka({
  clientId: 'dohle-compat-kafkajs',
  brokers: bootstrap.split(','),
  logLevel: logLevel.WARN,
  logCreator: () => ({ label, log }) => console.error(label, log.message, JSON.stringify(log)),
})

async function main() {
  const admin = kafka.admin()
  await admin.connect()
  const cluster = await admin.describeCluster()
  console.log('brokers', cluster.brokers.map(b => b.nodeId).sort().join(' '), 'controller', cluster.controller)
  const created = await admin.createTopics({
    waitForLeaders: true,
    topics: [
      {
        topic,
        numPartitions: 2,
        replicationFactor: 3,
        configEntries: [{ name: 'min.insync.replicas', value: '2' }],
      },
    ],
  })
  console.log('created', created)
  console.log('again', await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] }))
  await admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] })
  const metadata = await until(
    () => admin.fetchTopicMetadata({ topics: [topic] }),
    m => m.topics[0].partitions.length === partitions && m.topics[0].partitions.every(p => p.leader >= 0)
  )
  for (const p of metadata.topics[0].partitions.sort((a, b) => a.partitionId - b.partitionId)) {
    console.log('partition', p.partitionId, 'replicas', p.replicas.length, 'isr', p.isr.length)
  }
  await configs(admin)
  await produce()
  await fetchBack(await offsets(admin))
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '500' }] })
  const [first] = (await admin.fetchTopicOffsets(topic)).filter(o => o.partition === 0)
  console.log('records deleted: low', first.low, 'high', first.high)
  await admin.deleteTopics({ topics: [topic] })
  await until(() => admin.listTopics(), topics => !topics.includes(topic))
  console.log('deleted')
  await admin.disconnect()
}

// Asks until the answer is as wanted: a broker learns of a change a moment after it is acknowledged.
async function until(ask, wanted) {
  for (const deadline = Date.now() + 30_000; ; ) {
    const answer = await ask()
    if (wanted(answer)) return answer
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(answer)}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

async function configs(admin) {
  await admin.alterConfigs({
    resources: [
      {
        type: ConfigResourceTypes.TOPIC,
        name: topic,
        configEntries: [
          { name: 'min.insync.replicas', value: '2' },
          { name: 'retention.ms', value: '3600000' },
        ],
      },
    ],
  })
  const described = await until(
    () =>
      admin.describeConfigs({
        resources: [
          {
            type: ConfigResourceTypes.TOPIC,
            name: topic,
            configNames: ['min.insync.replicas', 'retention.ms', 'cleanup.policy'],
          },
        ],
      }),
    d => d.resources[0].configEntries.some(e => e.configName === 'retention.ms' && e.configValue === '3600000')
  )
  const entries = described.resources[0].configEntries
  for (const e of entries.sort((a, b) => (a.configName < b.configName ? -1 : 1))) {
    console.log('config', e.configName, e.configValue, 'default', e.isDefault)
  }
}

async function produce() {
  for (const codec of codecs) {
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false })
    await producer.connect()
    const messages = []
    for (let n = 0; n < recordsEach; n++) {
      messages.push({ key: `${codec}-${n % 10}`, value: `${n}`, partition: n % partitions, headers: { codec } })
    }
    const sent = await producer.send({ topic, acks: -1, compression: CompressionTypes[codec], messages })
    console.log('produced', codec, sent.map(s => s.errorCode).every(code => code === 0))
    await producer.disconnect()
  }
}

async function offsets(admin) {
  const found = await admin.fetchTopicOffsets(topic)
  for (const o of found.sort((a, b) => a.partition - b.partition)) {
    console.log('offsets', o.partition, 'low', o.low, 'high', o.high)
  }
  const byTime = await admin.fetchTopicOffsetsByTimestamp(topic, Date.now() + 3_600_000)
  console.log('offsets by a later time', byTime.map(o => o.offset).sort().join(' '))
  return new Map(found.map(o => [o.partition, Number(o.high)]))
}

async function fetchBack(ends) {
  const symbol = Object.getOwnPropertySymbols(kafka).find(s => String(s).includes('createCluster'))
  const cluster = kafka[symbol]({ metadataMaxAge: 1000, allowAutoTopicCreation: false, maxInFlightRequests: 1 })
  await cluster.connect()
  await cluster.addTargetTopic(topic)
  await cluster.refreshMetadata()
  const values = {}
  for (const [partition, end] of ends) {
    const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
    const broker = await cluster.findBroker({ nodeId })
    for (let offset = 0; offset < end; ) {
      const { responses } = await broker.fetch({
        maxWaitTime: 500,
        minBytes: 1,
        maxBytes: 1 << 20,
        isolationLevel: 1,
        topics: [{ topic, partitions: [{ partition, fetchOffset: offset, maxBytes: 1 << 20 }] }],
      })
      for (const message of responses[0].partitions[0].messages) {
        if (Number(message.offset) !== offset) throw new Error(`offset ${message.offset}, expected ${offset}`)
        offset++
        const codec = message.headers.codec.toString()
        ;(values[codec] ||= []).push(Number(message.value.toString()))
      }
    }
  }
  for (const codec of codecs) {
    const complete = values[codec].sort((a, b) => a - b).every((value, index) => value === index)
    console.log('fetched', codec, values[codec].length, 'complete', complete)
  }
  await cluster.disconnect()
}

main().catch(error => {
  console.error('error:', error)
  process.exit(1)
})
