import java.util.List;
import java.util.Map;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.server.telemetry.ClientTelemetryExporter;
import org.apache.kafka.server.telemetry.ClientTelemetryExporterProvider;
import org.apache.kafka.shaded.com.google.protobuf.InvalidProtocolBufferException;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.MetricsData;

/**
 * A plugin of Apache Kafka's broker that receives metrics of clients (KIP-714). Without one the broker does not serve
 * GetTelemetrySubscriptions and PushTelemetry. It parses what clients push, and keeps nothing.
 */
public final class TelemetryReceiver implements MetricsReporter, ClientTelemetryExporterProvider {
  @Override
  public ClientTelemetryExporter clientTelemetryExporter() {
    return (context, payload) -> {
      try {
        MetricsData.parseFrom(payload.data());
      } catch (InvalidProtocolBufferException error) {
        throw new IllegalArgumentException(error);
      }
    };
  }

  @Override
  public void configure(Map<String, ?> configs) {}

  @Override
  public void init(List<KafkaMetric> metrics) {}

  @Override
  public void metricChange(KafkaMetric metric) {}

  @Override
  public void metricRemoval(KafkaMetric metric) {}

  @Override
  public void close() {}
}
