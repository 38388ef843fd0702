import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client on a listener that authenticates: {@code Secure BOOTSTRAP TOPIC [name=value ...]}, where the pairs are
 * client properties. Produces ten records to partition 0, consumes ten from its start, and prints {@code ok 10}. An
 * error and its causes are printed to standard error as {@code CLASS: MESSAGE}, and end the program with 1.
 */
public final class Secure {
    private static final int COUNT = 10;

    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        properties.put("client.id", "dohle-compat-java");
        for (int i = 2; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            properties.put(pair[0], pair[1]);
        }
        String tokens = properties.getProperty("sasl.oauthbearer.token.endpoint.url");
        if (tokens != null) {
            System.setProperty("org.apache.kafka.sasl.oauthbearer.allowed.urls", tokens);
        }
        try {
            System.out.println("ok " + roundTrip(properties, args[1]));
        } catch (Exception error) {
            Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
            for (; cause != null; cause = cause.getCause()) {
                System.err.println(cause.getClass().getName() + ": " + cause.getMessage());
            }
            System.exit(1);
        }
    }

    private static int roundTrip(Properties properties, String topic) throws Exception {
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int n = 0; n < COUNT; n++) {
                byte[] value = ("value " + n).getBytes(StandardCharsets.UTF_8);
                producer.send(new ProducerRecord<>(topic, 0, null, value)).get(30, TimeUnit.SECONDS);
            }
        }
        TopicPartition partition = new TopicPartition(topic, 0);
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            int read = 0;
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
            while (read < COUNT && System.nanoTime() < end) {
                read += consumer.poll(Duration.ofMillis(200)).count();
            }
            return Math.min(read, COUNT);
        }
    }
}
