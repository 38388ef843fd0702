import java.time.Duration;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.streams.tests.SmokeTestDriver;

/**
 * The driver of the smoke test of Kafka Streams, with an amount of work that can be chosen.
 *
 * <pre>
 * SmokeDriver BOOTSTRAP GUARANTEE KEYS RECORDS SECONDS   writes RECORDS for each key during SECONDS, and compares what comes out
 * </pre>
 *
 * Prints "writing" at the start, and "SUCCESS" at the end.
 */
public final class SmokeDriver {
    private SmokeDriver() {}

    public static void main(String[] args) {
        boolean exactlyOnce = args[1].equals("exactly_once_v2");
        int keys = Integer.parseInt(args[2]);
        int records = Integer.parseInt(args[3]);
        Duration during = Duration.ofSeconds(Long.parseLong(args[4]));
        System.out.println("writing");
        Map<String, Set<Integer>> written = SmokeTestDriver.generate(args[0], keys, records, during);
        SmokeTestDriver.VerificationResult result = SmokeTestDriver.verify(args[0], written, records, exactlyOnce);
        System.out.println(result.passed() ? "SUCCESS" : "FAILURE\n" + result.result());
        System.exit(result.passed() ? 0 : 1);
    }
}
