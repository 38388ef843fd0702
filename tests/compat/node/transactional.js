// Copies records in transactions, one step for each line of standard input, with kafkajs:
// `node transactional.js BOOTSTRAP SOURCE TARGET GROUP TRANSACTIONAL_ID`. The steps and the answers are described in
// tests/src/clients/transactional.rs.
'use strict'
const readline = require('readline')
const { Kafka, logLevel } = require('kafkajs')

const [bootstrap, source, target, groupId, transactionalId] = process.argv.slice(2)
const kafka = new Kafka({
  clientId: 'dohle-compat-kafkajs',
  brokers: bootstrap.split(','),
  logLevel: logLevel.ERROR,
  logCreator: () => ({ label, log }) => console.error(label, log.message, JSON.stringify(log)),
  retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 30 },
})
let producer, consumer, transaction
const arrived = []
let read = []

const steps = {
  async init() {
    producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, transactionTimeout: 60000 })
    await producer.connect()
    // The client takes its producer id with the first transaction only.
    await (await producer.transaction()).abort()
    consumer = kafka.consumer({ groupId, readUncommitted: false, maxWaitTimeInMs: 100, sessionTimeout: 6000, heartbeatInterval: 500 })
    await consumer.connect()
    await consumer.subscribe({ topics: [source], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => { arrived.push({ partition, message }) },
    })
  },
  async begin() {
    transaction = await producer.transaction()
  },
  async read(count) {
    while (arrived.length < Number(count)) await new Promise(resolve => setTimeout(resolve, 10))
    read = arrived.splice(0, Number(count))
  },
  async write() {
    await transaction.send({
      topic: target,
      messages: read.map(({ message }) => ({ key: message.key, value: 'copy of ' + message.value })),
    })
  },
  async offsets() {
    const next = new Map()
    for (const { partition, message } of read) {
      const offset = BigInt(message.offset) + 1n
      if (!next.has(partition) || next.get(partition) < offset) next.set(partition, offset)
    }
    const partitions = [...next].map(([partition, offset]) => ({ partition, offset: offset.toString() }))
    await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic: source, partitions }] })
  },
  async commit() {
    await transaction.commit()
  },
  async abort() {
    await transaction.abort()
  },
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [step, ...words] = line.split(' ')
    try {
      await steps[step](...words)
      console.log('ok', step)
    } catch (error) {
      console.log('failed', step, error.type || error.name, error.message.replace(/\n/g, ' '))
    }
  }
  process.exit(0)
}

main()
