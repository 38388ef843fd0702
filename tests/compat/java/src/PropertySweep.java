import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.coordinator.group.GroupConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.storage.internals.log.LogConfig;

/**
 * Asks Apache Kafka which values of each property it accepts: at the start of a node, and at run time for one broker, for
 * all brokers, for a topic and for a group. Arguments: the bootstrap servers of a single node 1 with default properties, and
 * optionally a recording whose properties are left out.
 * Prints one line for each place and property: the values that are accepted, and those that are refused.
 */
public final class PropertySweep {
    private static final Map<String, String> NODE = Map.of(
        "process.roles", "broker,controller",
        "node.id", "1",
        "controller.quorum.voters", "1@localhost:9093",
        "controller.listener.names", "CONTROLLER",
        "listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
        "log.dirs", "/tmp/logs");

    private final Set<String> recorded = new HashSet<>();
    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private interface Attempt {
        void with(String value) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        PropertySweep sweep = new PropertySweep();
        if (arguments.length > 1) {
            for (String line : Files.readAllLines(Path.of(arguments[1]))) {
                String[] fields = line.split("\t");
                sweep.recorded.add(fields[0] + ' ' + fields[1]);
            }
        }
        sweep.run(arguments[0]);
    }

    private void run(String servers) throws Exception {
        Map<String, ConfigDef.ConfigKey> broker = new TreeMap<>(kafka.server.KafkaConfig.configDef().configKeys());
        for (ConfigDef.ConfigKey key : broker.values()) {
            line("start", key, value -> {
                Properties properties = new Properties();
                properties.putAll(NODE);
                properties.put(key.name, value);
                kafka.server.KafkaConfig.fromProps(properties, false);
            });
        }
        Properties client = new Properties();
        client.put("bootstrap.servers", servers);
        try (Admin admin = Admin.create(client)) {
            admin.createTopics(List.of(new NewTopic("sweep", 1, (short) 1))).all().get();
            for (ConfigDef.ConfigKey key : broker.values()) {
                if (DynamicBrokerConfig.ALL_DYNAMIC_CONFIGS.contains(key.name)) {
                    alter(admin, "broker", new ConfigResource(ConfigResource.Type.BROKER, "1"), key);
                    alter(admin, "default", new ConfigResource(ConfigResource.Type.BROKER, ""), key);
                }
            }
            for (ConfigDef.ConfigKey key : new TreeMap<>(LogConfig.configDefCopy().configKeys()).values()) {
                alter(admin, "topic", new ConfigResource(ConfigResource.Type.TOPIC, "sweep"), key);
            }
            for (ConfigDef.ConfigKey key : new TreeMap<>(GroupConfig.CONFIG_DEF.configKeys()).values()) {
                alter(admin, "group", new ConfigResource(ConfigResource.Type.GROUP, "sweep"), key);
            }
        }
    }

    private void alter(Admin admin, String where, ConfigResource resource, ConfigDef.ConfigKey key) {
        line(where, key, value -> {
            AlterConfigOp set = new AlterConfigOp(new ConfigEntry(key.name, value), AlterConfigOp.OpType.SET);
            Map<ConfigResource, Collection<AlterConfigOp>> changes = Map.of(resource, List.of(set));
            admin.incrementalAlterConfigs(changes, new AlterConfigsOptions().validateOnly(true)).all().get();
        });
    }

    private void line(String where, ConfigDef.ConfigKey key, Attempt attempt) {
        if (recorded.contains(where + ' ' + key.name)) {
            return;
        }
        List<String> accepted = new ArrayList<>();
        List<String> refused = new ArrayList<>();
        for (String value : values(key)) {
            try {
                attempt.with(value);
                accepted.add('[' + value + ']');
            } catch (Exception | ExceptionInInitializerError error) {
                refused.add('[' + value + ']');
                if (System.getenv("SWEEP_REASONS") != null) {
                    Throwable why = error instanceof ExecutionException ? error.getCause() : error;
                    System.err.println(where + " " + key.name + " [" + value + "] " + why);
                }
            }
        }
        out.println(String.join("\t", where, key.name, String.join(" ", accepted), String.join(" ", refused)));
    }

    /** Returns values of the property's type: usual ones, those around its default, and those around its bounds. */
    private static Set<String> values(ConfigDef.ConfigKey key) {
        Set<String> values = new LinkedHashSet<>();
        switch (key.type) {
            case BOOLEAN -> values.addAll(List.of("true", "false", "TRUE", "yes", ""));
            case INT, LONG, SHORT -> {
                values.addAll(List.of("-3", "-2", "-1", "0", "1", "2", "5", " 7 ", "100", "1000", "1048576", "2147483647",
                    "2147483648", "x", "1.5", ""));
                if (key.defaultValue instanceof Number number) {
                    long value = number.longValue();
                    values.addAll(around(value));
                    values.addAll(around(value / 2));
                    if (value < Long.MAX_VALUE / 2) {
                        values.addAll(around(value * 2));
                    }
                }
                if (key.validator != null) {
                    for (String bound : key.validator.toString().split("[^-0-9]+")) {
                        if (bound.matches("-?[0-9]+")) {
                            values.addAll(around(Long.parseLong(bound)));
                        }
                    }
                }
            }
            case DOUBLE -> values.addAll(List.of("-1", "-0.1", "0", "0.1", "0.5", "0.51", "1", "1.1", "NaN", "x", ""));
            case LIST -> values.addAll(List.of("", "a", "a,a", "a,,b", "a, b"));
            case STRING -> values.addAll(List.of("", "x", " x "));
            default -> { }
        }
        if (key.validator != null && key.type != ConfigDef.Type.INT && key.type != ConfigDef.Type.LONG) {
            for (String word : key.validator.toString().split("[^-_A-Za-z0-9]+")) {
                if (word.matches("[A-Za-z][-_A-Za-z0-9]*")) {
                    values.addAll(List.of(word, word.toLowerCase(), word + ',' + word));
                }
            }
        }
        return values;
    }

    private static List<String> around(long value) {
        return Arrays.asList(Long.toString(value - 1), Long.toString(value), Long.toString(value + 1));
    }
}
