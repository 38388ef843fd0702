// kafkajs on a listener that authenticates: `node secure.js BOOTSTRAP TOPIC [name=value ...]` with `mechanism`, `user`,
// `password`, and for TLS `ca` and `store`, the paths of PEM files with trusted certificates and with the client's certificate
// and key. Produces ten records to partition 0, consumes ten from its start, and prints `ok 10`. An error is printed to
// standard error and ends the program with 1.
'use strict'
const fs = require('fs')
const { Kafka, logLevel } = require('kafkajs')
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'

const [bootstrap, topic, ...pairs] = process.argv.slice(2)
const options = Object.fromEntries(pairs.map(pair => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
const count = 10

const file = name => (options[name] ? fs.readFileSync(options[name]) : undefined)
const kafka = new Kafka({
  clientId: 'dohle-compat-kafkajs',
  brokers: bootstrap.split(','),
  sasl: options.mechanism && {
    mechanism: options.mechanism.toLowerCase(),
    username: options.user,
    password: options.password,
    // The token of OAUTHBEARER.
    oauthBearerProvider: async () => ({ value: options.password }),
  },
  ssl: options.ca ? { ca: [file('ca')], cert: file('store'), key: file('store') } : false,
  retry: { retries: 0 },
  logLevel: logLevel.NOTHING,
})

async function main() {
  const producer = kafka.producer()
  await producer.connect()
  const messages = Array.from({ length: count }, (_, n) => ({ value: `value ${n}`, partition: 0 }))
  await producer.send({ topic, messages })
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId: `secure-${topic}-${process.pid}`, retry: { retries: 8 } })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let read = 0
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, event => reject(event.payload.error))
    consumer.run({
      eachMessage: async () => {
        read += 1
        if (read === count) resolve()
      },
    })
  })
  await consumer.disconnect()
  console.log('ok', count)
}

main().then(
  () => process.exit(0),
  error => {
    console.error(`${error.name}: ${error.message}`)
    process.exit(1)
  },
)
