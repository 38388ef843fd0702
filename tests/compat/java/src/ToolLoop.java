import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs one of Kafka's tools again and again in one JVM: {@code ToolLoop CLASS}. A line of standard input has the arguments
 * of a run, with a tab between them. What the tool prints, on both outputs, is followed by the line {@code === CODE} with
 * its exit code.
 */
public final class ToolLoop {
    private static final class Exited extends RuntimeException {
        private final int code;

        Exited(int code) {
            this.code = code;
        }
    }

    public static void main(String[] args) throws Exception {
        Exit.Procedure exit = (code, message) -> {
            throw new Exited(code);
        };
        Exit.setExitProcedure(exit);
        Exit.setHaltProcedure(exit);
        System.setErr(System.out);
        Method tool = Class.forName(args[0]).getMethod("main", String[].class);
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            System.out.println("=== " + run(tool, line.split("\t")));
        }
    }

    private static int run(Method tool, String[] args) throws IllegalAccessException {
        try {
            tool.invoke(null, (Object) args);
            return 0;
        } catch (InvocationTargetException error) {
            if (error.getCause() instanceof Exited exited) {
                return exited.code;
            }
            error.getCause().printStackTrace();
            return 1;
        }
    }
}
