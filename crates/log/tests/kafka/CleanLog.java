import java.io.File;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.Cleaner;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogToClean;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * Has Apache Kafka's own cleaner clean a partition's directory:
 * {@code CleanLog DIR SEGMENT_BYTES DELETE_RETENTION_MS NOW_MS FIRST_DIRTY_OFFSET MAP_BYTES}. Prints the offset up to
 * which it came.
 */
public final class CleanLog {
    public static void main(String[] args) throws Exception {
        Map<String, String> properties = new HashMap<>();
        properties.put("cleanup.policy", "compact");
        properties.put("internal.segment.bytes", args[1]);
        properties.put("index.interval.bytes", "200");
        properties.put("delete.retention.ms", args[2]);
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        UnifiedLog log = UnifiedLog.create(new File(args[0]), new LogConfig(properties), 0L, 0L, scheduler,
                new BrokerTopicStats(), Time.SYSTEM, 900_000,
                new ProducerStateManagerConfig(Integer.MAX_VALUE, false), 600_000, new LogDirFailureChannel(10), true,
                Optional.empty());
        log.updateHighWatermark(log.logEndOffset());
        long end = Math.min(log.lastStableOffset(), log.activeSegment().baseOffset());
        Throttler throttler = new Throttler(Double.MAX_VALUE, 300, "cleaner-io", "bytes", Time.SYSTEM);
        Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(Integer.parseInt(args[5])), 65_536, 65_536, 0.9,
                throttler, Time.SYSTEM, partition -> { });
        LogToClean toClean = new LogToClean(log, Long.parseLong(args[4]), end, false);
        System.out.println(cleaner.doClean(toClean, Long.parseLong(args[3])).getKey());
        log.close();
        scheduler.shutdown();
    }
}
