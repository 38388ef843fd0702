// npm install kafkajs && node quickstart.js
const { Kafka, logLevel } = require('kafkajs')

const brokers = (process.env.BOOTSTRAP_SERVERS || 'localhost:9092').split(',')
const kafka = new Kafka({ brokers, logLevel: logLevel.WARN })

async function main() {
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic: 'greetings', messages: [{ key: 'node', value: 'hello from Node.js' }] })
  await producer.disconnect()

  const consumer = kafka.consumer({ groupId: 'greeters-node' })
  await consumer.connect()
  await consumer.subscribe({ topic: 'greetings', fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => {
      console.log(`${message.key}: ${message.value}`)
      if (message.key.toString() === 'node') setImmediate(() => consumer.disconnect())
    },
  })
}

main()
