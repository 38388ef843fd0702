// The kafkajs side of the image tests. Values are numbers, so that what is missing or read twice shows.
//
//     node client.js topic BOOTSTRAP TOPIC PARTITIONS REPLICATION
//     node client.js produce BOOTSTRAP TOPIC FIRST COUNT [BATCH]   one batch after the other
//     node client.js fetch BOOTSTRAP TOPIC COUNT                   wants the values 0 to COUNT-1, each in one place
//     node client.js group BOOTSTRAP TOPIC GROUP FIRST COUNT       two members read and commit FIRST to FIRST+COUNT-1
//     node client.js isr BOOTSTRAP TOPIC COUNT                     wants every partition to have COUNT replicas in sync
//     node client.js offsets BOOTSTRAP TOPIC GROUP                 what the group committed, one partition a line
'use strict'
const { Kafka, logLevel } = require('kafkajs')
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'

const [command, bootstrap, topic, ...rest] = process.argv.slice(2)
const deadline = Date.now() + 60_000
const kafka = new Kafka({
  clientId: 'dohle-images',
  brokers: bootstrap.split(','),
  logLevel: process.env.VERBOSE ? logLevel.INFO : logLevel.NOTHING,
  retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 60 },
  connectionTimeout: 2000,
})

async function createTopic(partitions, replicationFactor) {
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: +partitions, replicationFactor: +replicationFactor }] })
  await admin.disconnect()
}

// A send is for one partition. kafkajs takes a broker that has answered a send as done with it: when another broker fails
// within that send and its partitions move to the first, their messages are not sent again, and the send succeeds
// (github.com/tulios/kafkajs, issue 1303).
async function produce(first, count, batch = 100) {
  const admin = kafka.admin()
  await admin.connect()
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  await admin.disconnect()
  const partitions = topics[0].partitions.length
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (let sent = 0, batches = 0; sent < +count; batches++) {
    const messages = []
    for (let n = sent; n < Math.min(sent + +batch, +count); n++) {
      messages.push({ key: `${n % 10}`, value: `${+first + n}`, partition: batches % partitions })
    }
    await producer.send({ topic, acks: -1, messages })
    if (sent * 10 < +count && (sent + messages.length) * 10 >= +count) console.log('sent a tenth')
    sent += messages.length
  }
  await producer.disconnect()
  console.log('produced', count)
}

// Reads all there is with the requests that kafkajs is built on: its public consumer needs a group.
async function fetchAll(count) {
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  const symbol = Object.getOwnPropertySymbols(kafka).find(s => String(s).includes('createCluster'))
  const cluster = kafka[symbol]({ metadataMaxAge: 1000, allowAutoTopicCreation: false, maxInFlightRequests: 1 })
  await cluster.connect()
  await cluster.addTargetTopic(topic)
  await cluster.refreshMetadata()
  const seen = new Map()
  for (const { partition, high } of ends) {
    const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
    const broker = await cluster.findBroker({ nodeId })
    for (let offset = 0; offset < Number(high); ) {
      const { responses } = await broker.fetch({
        maxWaitTime: 500,
        minBytes: 1,
        maxBytes: 1 << 20,
        isolationLevel: 1,
        topics: [{ topic, partitions: [{ partition, fetchOffset: offset, maxBytes: 1 << 20 }] }],
      })
      for (const message of responses[0].partitions[0].messages) {
        if (Number(message.offset) < offset) continue
        offset = Number(message.offset) + 1
        note(seen, Number(message.value.toString()), partition)
      }
    }
  }
  await cluster.disconnect()
  complete(seen, 0, +count)
  console.log('fetched', count)
}

async function group(groupId, first, count) {
  const seen = new Map()
  const members = []
  for (let m = 0; m < 2; m++) {
    // A member that leaves waits for the fetch that is under way.
    const consumer = kafka.consumer({ groupId, heartbeatInterval: 500, maxWaitTimeInMs: 100 })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    members.push(consumer)
  }
  const shares = members.map(() => 0)
  const run = (consumer, index) =>
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        shares[index]++
        note(seen, Number(message.value.toString()), partition)
      },
    })
  // Together, so that the group's first generation has both.
  await Promise.all(members.map(run))
  while (seen.size < +count) {
    if (Date.now() > deadline) throw new Error(`${seen.size} of ${count} records after a minute`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  // What a member has read it commits with each batch, and it ends the batch it is at.
  for (const consumer of members) await consumer.disconnect()
  complete(seen, +first, +count)
  if (shares.includes(0)) throw new Error(`one member read everything: ${shares}`)
  console.log('group read', count)
}

async function isr(count) {
  const admin = kafka.admin()
  await admin.connect()
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  for (const { partitionId, isr } of topics[0].partitions) {
    if (isr.length !== +count) throw new Error(`partition ${partitionId} has the ISR ${isr}`)
  }
  await admin.disconnect()
}

async function offsets(groupId) {
  const admin = kafka.admin()
  await admin.connect()
  const [found] = await admin.fetchOffsets({ groupId, topics: [topic] })
  for (const { partition, offset } of found.partitions.sort((a, b) => a.partition - b.partition)) console.log(partition, offset)
  await admin.disconnect()
}

function note(seen, value, partition) {
  if (seen.has(value)) throw new Error(`${value} was read twice, from partitions ${seen.get(value)} and ${partition}`)
  seen.set(value, partition)
}

function complete(seen, first, count) {
  const missing = []
  for (let value = first; value < first + count; value++) if (!seen.has(value)) missing.push(value)
  if (missing.length > 0) throw new Error(`${missing.length} are missing: ${missing.slice(0, 50).join(' ')}`)
  if (seen.size !== count) throw new Error(`${seen.size} records, expected ${count}`)
}

const commands = { topic: createTopic, produce, fetch: fetchAll, group, isr, offsets }
commands[command](...rest).catch(error => {
  console.error(`${command}: ${error.stack}`)
  process.exit(1)
})
