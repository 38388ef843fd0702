// Topics that come to be when they are first used, with kafkajs: `NODE_PATH=… node auto_create.js BOOTSTRAP COUNT`. Produces
// to COUNT topics that do not exist, then subscribes to one that does not exist and to the first of them, and reads it.
// Whatever kafkajs logs as warning or error goes to standard error; `done` is printed at the end.
'use strict'
const { Kafka, logLevel } = require('kafkajs')

const [bootstrap, count] = process.argv.slice(2)
const kafka = new Kafka({
  clientId: 'dohle-compat-kafkajs',
  brokers: bootstrap.split(','),
  logLevel: logLevel.WARN,
  logCreator: () => ({ label, log }) => console.error(label, log.message, log.error || ''),
})

async function main() {
  const producer = kafka.producer()
  await producer.connect()
  const messages = [...'abcdefghi'].map(key => ({ key, value: key }))
  for (let i = 0; i < Number(count); i++) await producer.send({ topic: `new-${i}`, messages })

  const consumer = kafka.consumer({ groupId: 'new-group', maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topics: ['new-0', 'new-to-consume'], fromBeginning: true })
  let left = messages.length
  await new Promise((resolve, reject) => {
    const eachMessage = async () => {
      if (--left === 0) resolve()
    }
    consumer.run({ eachMessage }).catch(reject)
  })
  await consumer.disconnect()
  await producer.disconnect()
  console.log('done')
}

main().catch(error => {
  console.error('error:', error)
  process.exit(1)
})
