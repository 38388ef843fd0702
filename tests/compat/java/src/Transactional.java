import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Copies records in transactions, one step for each line of standard input, with the Java client:
 * {@code Transactional BOOTSTRAP SOURCE TARGET GROUP TRANSACTIONAL_ID [name=value ...]}, the pairs being properties of
 * the producer. The steps and the answers are described in tests/src/clients/transactional.rs.
 */
public final class Transactional {
    private static KafkaProducer<String, String> producer;
    private static KafkaConsumer<String, String> consumer;
    private static final List<ConsumerRecord<String, String>> arrived = new ArrayList<>();
    private static List<ConsumerRecord<String, String>> read = List.of();

    public static void main(String[] args) throws Exception {
        Properties producing = new Properties();
        producing.put("bootstrap.servers", args[0]);
        producing.put("transactional.id", args[4]);
        producing.put("client.id", "dohle-compat-java");
        producing.put("transaction.timeout.ms", "60000");
        for (int i = 5; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            producing.put(pair[0], pair[1]);
        }
        Properties consuming = new Properties();
        consuming.put("bootstrap.servers", args[0]);
        consuming.put("group.id", args[3]);
        consuming.put("client.id", "dohle-compat-java");
        consuming.put("auto.offset.reset", "earliest");
        consuming.put("enable.auto.commit", "false");
        consuming.put("isolation.level", "read_committed");
        consuming.put("session.timeout.ms", "6000");
        consuming.put("heartbeat.interval.ms", "500");
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = input.readLine()) != null; ) {
            String[] words = line.split(" ");
            try {
                switch (words[0]) {
                    case "init" -> {
                        producer = new KafkaProducer<>(producing, new StringSerializer(), new StringSerializer());
                        producer.initTransactions();
                        consumer = new KafkaConsumer<>(consuming, new StringDeserializer(), new StringDeserializer());
                        consumer.subscribe(List.of(args[1]));
                    }
                    case "begin" -> producer.beginTransaction();
                    case "read" -> read(Integer.parseInt(words[1]));
                    case "write" -> write(args[2]);
                    case "offsets" -> producer.sendOffsetsToTransaction(next(), consumer.groupMetadata());
                    case "commit" -> producer.commitTransaction();
                    case "abort" -> producer.abortTransaction();
                    default -> throw new IllegalArgumentException(line);
                }
                System.out.println("ok " + words[0]);
            } catch (Exception e) {
                System.out.println("failed " + words[0] + " " + e.getClass().getSimpleName() + " " + oneLine(e.getMessage()));
            }
        }
    }

    private static void read(int count) {
        while (arrived.size() < count) {
            consumer.poll(Duration.ofMillis(100)).forEach(arrived::add);
        }
        var first = arrived.subList(0, count);
        read = List.copyOf(first);
        first.clear();
    }

    private static void write(String target) throws Exception {
        var sent = new ArrayList<java.util.concurrent.Future<?>>();
        for (var record : read) {
            sent.add(producer.send(new ProducerRecord<>(target, record.key(), "copy of " + record.value())));
        }
        producer.flush();
        for (var future : sent) future.get();
    }

    private static Map<TopicPartition, OffsetAndMetadata> next() {
        Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
        for (var record : read) {
            next.merge(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1),
                (a, b) -> a.offset() > b.offset() ? a : b);
        }
        return next;
    }

    private static String oneLine(String message) {
        return message == null ? "" : message.replace('\n', ' ');
    }
}
