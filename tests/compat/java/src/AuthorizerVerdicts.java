import java.net.InetAddress;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.metrics.Metrics;
import org.apache.kafka.common.metrics.internals.PluginMetricsImpl;
import org.apache.kafka.common.network.ClientInformation;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.requests.RequestContext;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.metadata.authorizer.StandardAcl;
import org.apache.kafka.metadata.authorizer.StandardAuthorizer;
import org.apache.kafka.server.authorizer.Action;
import org.apache.kafka.server.authorizer.AuthorizationResult;

/**
 * Prints random ACLs and questions together with the verdicts of Kafka's StandardAuthorizer:
 * {@code AuthorizerVerdicts SETS SEED [ranges]}, where some ACLs name ranges of addresses (Kafka 4.4). Each line is one of
 * <pre>
 * set SUPER_USERS ALLOW_EVERYONE_IF_NO_ACL_FOUND
 * acl RESOURCE_TYPE PATTERN_TYPE NAME PRINCIPAL HOST OPERATION PERMISSION
 * ask USER HOST OPERATION RESOURCE_TYPE NAME VERDICT
 * any USER HOST OPERATION RESOURCE_TYPE VERDICT
 * </pre>
 * with Kafka's codes as numbers, and the verdict 1 for allowed.
 */
public class AuthorizerVerdicts {
    private static final String[] NAMES = {"a", "b", "ab", "aba", "abab", "b.a", "hard", "hardcode", "größe", "grö", "*"};
    private static final String[] ASKED = {"a", "b", "ab", "aba", "abab", "ababa", "b.a", "b.ab", "größer", "x"};
    private static final String[] PRINCIPALS = {"User:u", "User:u", "User:v", "User:*", "Group:u"};
    private static final String[] USERS = {"u", "u", "v", "w", "root"};
    private static final String[] HOSTS = {"*", "*", "10.0.0.1", "10.0.0.2", "0:0:0:0:0:0:0:1", "db.example"};
    private static final String[] HOSTS_AND_RANGES = {"*", "10.0.0.1", "0:0:0:0:0:0:0:1", "10.0.0.0/8", "10.0.0.2/31",
        "10.0.0.3/32", "0.0.0.0/0", "11.0.0.0/8", "10.0.0.0/33", "::/0", "::1/128", "2001:db8::/32"};
    private static final String[] FROM = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "0:0:0:0:0:0:0:1"};
    private static final ResourceType[] TYPES = {ResourceType.TOPIC, ResourceType.TOPIC, ResourceType.GROUP};
    private static final AclOperation[] FREQUENT = {AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE};
    private static final AclOperation[] OPERATIONS = AclOperation.values();

    private final Random random;
    private final String[] hosts;

    private AuthorizerVerdicts(long seed, String[] hosts) {
        random = new Random(seed);
        this.hosts = hosts;
    }

    public static void main(String[] args) throws Exception {
        String[] hosts = args.length > 2 ? HOSTS_AND_RANGES : HOSTS;
        AuthorizerVerdicts verdicts = new AuthorizerVerdicts(Long.parseLong(args[1]), hosts);
        for (int set = 0; set < Integer.parseInt(args[0]); set++) {
            verdicts.set();
        }
    }

    private <T> T of(T[] values) {
        return values[random.nextInt(values.length)];
    }

    /** A few ACLs, so that some resources have none, or many. */
    private void set() throws Exception {
        String superUsers = random.nextInt(4) == 0 ? "User:v;User:root" : "User:root";
        boolean allowEveryone = random.nextInt(3) == 0;
        System.out.println("set " + superUsers + " " + (allowEveryone ? 1 : 0));
        Map<Uuid, StandardAcl> acls = new HashMap<>();
        int count = random.nextInt(3) == 0 ? random.nextInt(3) : random.nextInt(24);
        for (int i = 0; i < count; i++) {
            StandardAcl acl = acl();
            if (acls.containsValue(acl)) {
                continue;
            }
            acls.put(new Uuid(1, i), acl);
            System.out.println("acl " + acl.resourceType().code() + " " + acl.patternType().code() + " "
                + acl.resourceName() + " " + acl.principal() + " " + acl.host() + " "
                + acl.operation().code() + " " + acl.permissionType().code());
        }
        try (StandardAuthorizer authorizer = new StandardAuthorizer(); Metrics metrics = new Metrics()) {
            authorizer.withPluginMetrics(new PluginMetricsImpl(metrics, Map.of()));
            authorizer.configure(Map.of("super.users", superUsers,
                "allow.everyone.if.no.acl.found", String.valueOf(allowEveryone), "node.id", "1"));
            authorizer.loadSnapshot(acls);
            authorizer.completeInitialLoad();
            for (int i = 0; i < 30; i++) {
                ask(authorizer);
            }
            for (int i = 0; i < 10; i++) {
                any(authorizer);
            }
        }
    }

    private StandardAcl acl() {
        AclOperation operation = random.nextInt(4) == 0 ? AclOperation.ALL : operation();
        return new StandardAcl(of(TYPES), of(NAMES), random.nextBoolean() ? PatternType.LITERAL : PatternType.PREFIXED,
            of(PRINCIPALS), of(hosts), operation,
            random.nextInt(3) == 0 ? AclPermissionType.DENY : AclPermissionType.ALLOW);
    }

    /** An operation that can be asked for, often one of a few. */
    private AclOperation operation() {
        AclOperation operation = random.nextBoolean() ? of(FREQUENT) : of(OPERATIONS);
        return operation.code() > AclOperation.ALL.code() ? operation : operation();
    }

    private void ask(StandardAuthorizer authorizer) throws Exception {
        String user = of(USERS);
        String host = of(FROM);
        AclOperation operation = operation();
        ResourceType type = of(TYPES);
        String name = of(ASKED);
        List<Action> actions = new ArrayList<>();
        actions.add(new Action(operation, new ResourcePattern(type, name, PatternType.LITERAL), 1, false, false));
        AuthorizationResult result = authorizer.authorize(context(user, host), actions).get(0);
        System.out.println("ask " + user + " " + host + " " + operation.code() + " " + type.code() + " " + name + " "
            + (result == AuthorizationResult.ALLOWED ? 1 : 0));
    }

    private void any(StandardAuthorizer authorizer) throws Exception {
        String user = of(USERS);
        String host = of(FROM);
        AclOperation operation = operation();
        ResourceType type = of(TYPES);
        AuthorizationResult result = authorizer.authorizeByResourceType(context(user, host), operation, type);
        System.out.println("any " + user + " " + host + " " + operation.code() + " " + type.code() + " "
            + (result == AuthorizationResult.ALLOWED ? 1 : 0));
    }

    private RequestContext context(String user, String host) throws Exception {
        return new RequestContext(new RequestHeader(ApiKeys.METADATA, (short) 12, "c", 1), "1",
            InetAddress.getByName(host), new KafkaPrincipal(KafkaPrincipal.USER_TYPE, user),
            ListenerName.normalised("PLAINTEXT"), SecurityProtocol.PLAINTEXT, ClientInformation.EMPTY, false);
    }
}
