import java.io.BufferedReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client's side of the corpus tests:
 * {@code Corpus produce|consume BOOTSTRAP TOPIC [FILE [name=value ...]]}, where the pairs are client properties, and
 * {@code keys=N} the number of keys. The digest is that of tests/src/digest.rs.
 */
public final class Corpus {
    private static final long FNV_OFFSET = 0xcbf29ce484222325L;
    private static final long FNV_PRIME = 0x100000001b3L;

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "produce" -> produce(args);
            case "consume" -> consume(args);
            default -> throw new IllegalArgumentException("unknown command " + args[0]);
        }
    }

    private static Properties properties(String[] args, int from) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[1]);
        properties.put("client.id", "dohle-compat-java");
        for (int i = from; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            properties.put(pair[0], pair[1]);
        }
        return properties;
    }

    private static void produce(String[] args) throws Exception {
        Properties properties = properties(args, 4);
        int keys = Integer.parseInt((String) properties.getOrDefault("keys", "10007"));
        properties.remove("keys");
        properties.putIfAbsent("linger.ms", "5");
        properties.putIfAbsent("batch.size", "131072");
        AtomicLong acked = new AtomicLong();
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
                BufferedReader lines = Files.newBufferedReader(Path.of(args[3]))) {
            String line;
            for (long n = 0; (line = lines.readLine()) != null && failure.get() == null; n++) {
                byte[] key = String.format("key-%05d", n % keys).getBytes(StandardCharsets.UTF_8);
                byte[] value = line.getBytes(StandardCharsets.UTF_8);
                producer.send(new ProducerRecord<>(args[2], key, value), (metadata, error) -> {
                    if (error == null) {
                        acked.incrementAndGet();
                    } else {
                        failure.compareAndSet(null, error);
                    }
                });
            }
            producer.flush();
        }
        if (failure.get() != null) {
            throw failure.get();
        }
        System.out.println("produced acked=" + acked.get());
    }

    private static void consume(String[] args) {
        Properties properties = properties(args, 3);
        properties.putIfAbsent("fetch.max.bytes", "16777216");
        properties.putIfAbsent("max.partition.fetch.bytes", "4194304");
        properties.putIfAbsent("max.poll.records", "10000");
        Digest digest = new Digest();
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(args[2]).stream()
                    .map(p -> new TopicPartition(p.topic(), p.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> left = new HashMap<>(consumer.endOffsets(partitions));
            left.values().removeIf(end -> end == 0);
            while (!left.isEmpty()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    digest.add(record.key(), record.value());
                }
                left.entrySet().removeIf(entry -> consumer.position(entry.getKey()) >= entry.getValue());
            }
        }
        System.out.println(digest);
    }

    /** What tests/src/digest.rs computes, so that clients can be compared. */
    private static final class Digest {
        private long count;
        private long bytes;
        private long sum;
        private final Map<String, Long> chains = new HashMap<>();

        private static long fnv(long h, byte[] bytes) {
            for (byte b : bytes) {
                h = (h ^ (b & 0xff)) * FNV_PRIME;
            }
            return h;
        }

        private static long mix(long h) {
            h = (h ^ (h >>> 30)) * 0xbf58476d1ce4e5b9L;
            h = (h ^ (h >>> 27)) * 0x94d049bb133111ebL;
            return h ^ (h >>> 31);
        }

        void add(byte[] key, byte[] value) {
            long h = mix(fnv(fnv(fnv(FNV_OFFSET, key), new byte[] {0}), value));
            count++;
            bytes += value.length;
            sum += h;
            String name = new String(key, StandardCharsets.ISO_8859_1);
            long chain = chains.getOrDefault(name, fnv(FNV_OFFSET, key));
            chains.put(name, Long.rotateLeft(chain, 5) * FNV_PRIME + h);
        }

        @Override
        public String toString() {
            long order = chains.values().stream().mapToLong(Digest::mix).sum();
            return String.format("count=%d bytes=%d sum=%016x order=%016x", count, bytes, sum, order);
        }
    }
}
