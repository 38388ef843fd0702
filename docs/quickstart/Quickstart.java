// org.apache.kafka:kafka-clients:4.3.1
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Quickstart {
    public static void main(String[] args) throws Exception {
        String servers = Optional.ofNullable(System.getenv("BOOTSTRAP_SERVERS")).orElse("localhost:9092");

        Map<String, Object> forProducer = Map.of("bootstrap.servers", servers);
        try (var producer = new KafkaProducer<>(forProducer, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>("greetings", "java", "hello from Java")).get();
        }

        Map<String, Object> forConsumer = Map.of(
                "bootstrap.servers", servers,
                "group.id", "greeters-java",
                "group.protocol", "consumer",
                "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(forConsumer, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("greetings"));
            for (String key = null; !"java".equals(key); ) {
                for (var message : consumer.poll(Duration.ofSeconds(1))) {
                    key = message.key();
                    System.out.println(key + ": " + message.value());
                }
            }
        }
    }
}
