// A member of a group, with kafkajs: `node group.js BOOTSTRAP TOPIC GROUP [name=value ...]`, the pairs being options of
// kafkajs's consumer. What it prints is described in tests/src/clients/member.rs. SIGINT makes it leave.
'use strict'
const { Kafka, logLevel } = require('kafkajs')

const [bootstrap, topic, groupId, ...pairs] = process.argv.slice(2)
const options = Object.fromEntries(pairs.map(pair => pair.split('=')).map(([name, value]) => [name, Number(value)]))
const kafka = new Kafka({
  clientId: 'dohle-compat-kafkajs',
  brokers: bootstrap.split(','),
  logLevel: logLevel.WARN,
  logCreator: () => ({ label, log }) => console.error(label, log.message, JSON.stringify(log)),
  retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 30 },
})
const consumer = kafka.consumer({
  groupId,
  sessionTimeout: 3000,
  rebalanceTimeout: 6000,
  heartbeatInterval: 300,
  maxWaitTimeInMs: 100,
  ...options,
})

async function main() {
  consumer.on(consumer.events.GROUP_JOIN, event =>
    console.log('assigned', (event.payload.memberAssignment[topic] || []).sort((a, b) => a - b).join(','))
  )
  process.once('SIGINT', async () => {
    await consumer.disconnect()
    console.log('left')
    process.exit(0)
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, isRunning, isStale }) => {
      let next
      for (const message of batch.messages) {
        if (!isRunning() || isStale()) break
        console.log('record', batch.partition, message.offset, message.value.toString())
        resolveOffset(message.offset)
        next = (BigInt(message.offset) + 1n).toString()
      }
      if (next === undefined) return
      await consumer.commitOffsets([{ topic, partition: batch.partition, offset: next }])
      console.log('committed', batch.partition, next)
    },
  })
}

main().catch(error => {
  console.error('error:', error)
  process.exit(1)
})
