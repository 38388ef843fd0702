// Produces records over a listener with TLS and consumes them, with kafkajs: `node secured.js BOOTSTRAP TOPIC COUNT`. The
// environment has the files of the authority (DOHLE_TEST_CA), and of the client's certificate and key
// (DOHLE_TEST_CERTIFICATE, DOHLE_TEST_KEY) if it has one. Prints the number of consumed records.
'use strict'
const fs = require('fs')
const { Kafka, logLevel } = require('kafkajs')

const [bootstrap, topic, count] = process.argv.slice(2)
const file = name => (process.env[name] ? fs.readFileSync(process.env[name]) : undefined)
const kafka = new Kafka({
  clientId: 'dohle-compat-kafkajs',
  brokers: bootstrap.split(','),
  ssl: { ca: [file('DOHLE_TEST_CA')], cert: file('DOHLE_TEST_CERTIFICATE'), key: file('DOHLE_TEST_KEY') },
  logLevel: logLevel.WARN,
  logCreator: () => ({ label, log }) => console.error(label, log.message, JSON.stringify(log)),
  retry: { initialRetryTime: 100, maxRetryTime: 200, retries: Number(process.env.DOHLE_TEST_RETRIES || 30) },
})

async function main() {
  const producer = kafka.producer()
  await producer.connect()
  const messages = Array.from({ length: Number(count) }, (_, n) => ({ value: `record ${n}` }))
  await producer.send({ topic, acks: -1, messages })
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId: `${topic}-group` })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let consumed = 0
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, event => reject(event.payload.error))
    const eachMessage = async () => {
      consumed += 1
      if (consumed === Number(count)) resolve()
    }
    consumer.run({ eachMessage }).catch(reject)
  })
  await consumer.disconnect()
  console.log('consumed', consumed)
}

main().then(
  () => process.exit(0),
  error => {
    console.error('error:', error.message)
    process.exit(1)
  }
)
