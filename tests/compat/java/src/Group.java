import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A member of a group, with the Java client: {@code Group BOOTSTRAP TOPIC GROUP [name=value ...]}, the pairs being client
 * properties. What it prints is described in tests/src/clients/member.rs. SIGINT makes it leave.
 */
public final class Group {
    private static final TreeSet<Integer> owned = new TreeSet<>();
    private static volatile boolean stopping = false;

    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        properties.put("group.id", args[2]);
        properties.put("client.id", "dohle-compat-java");
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("fetch.max.wait.ms", "100");
        properties.put("metadata.max.age.ms", "2000");
        for (int i = 3; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            properties.put(pair[0], pair[1]);
        }
        if (!"consumer".equals(properties.get("group.protocol"))) {
            properties.putIfAbsent("session.timeout.ms", "3000");
            properties.putIfAbsent("heartbeat.interval.ms", "300");
        }
        var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            consumer.wakeup();
            try {
                main.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        consumer.subscribe(java.util.List.of(args[1]), new Printer());
        try {
            while (!stopping) {
                handle(consumer, consumer.poll(Duration.ofMillis(100)));
            }
        } catch (WakeupException e) {
            if (!stopping) throw e;
        } finally {
            consumer.close();
            say("left");
        }
    }

    private static void handle(KafkaConsumer<String, String> consumer, ConsumerRecords<String, String> records) {
        if (records.isEmpty()) return;
        Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
        for (ConsumerRecord<String, String> record : records) {
            say("record " + record.partition() + " " + record.offset() + " " + record.value());
            next.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
        }
        try {
            consumer.commitSync(next);
            next.forEach((partition, offset) -> say("committed " + partition.partition() + " " + offset.offset()));
        } catch (WakeupException e) {
            throw e;
        } catch (KafkaException e) {
            // A rebalance came in between: the records are read again, here or elsewhere.
            next.forEach((partition, offset) -> say("uncommitted " + partition.partition() + " " + offset.offset()));
        }
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static final class Printer implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> owned.add(partition.partition()));
            print();
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> owned.remove(partition.partition()));
            print();
        }

        private static void print() {
            say("assigned " + owned.stream().map(String::valueOf).collect(Collectors.joining(",")));
        }
    }
}
