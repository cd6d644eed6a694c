import io.github.jav.exposerversdk.ExpoPushMessage;
import io.github.jav.exposerversdk.ExpoPushReceipt;
import io.github.jav.exposerversdk.ExpoPushTicket;
import io.github.jav.exposerversdk.PushClient;
import io.github.jav.exposerversdk.enums.Status;
import java.net.URL;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** io.github.jav:expo-server-sdk, started as a single source file. */
public class JavClient {
    interface Check {
        void run() throws Exception;
    }

    static final String IOS = System.getenv("TOKEN_IOS");
    static final String ANDROID = System.getenv("TOKEN_ANDROID");
    static PushClient client;
    static List<String> ids = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        client = new PushClient();
        client.setBaseApiUrl(new URL(System.getenv("GATEWAY_URL") + "/--/api/v2"));
        String line = "{\"version\":\"1.1.0\""
            + ",\"tickets\":\"" + passed(JavClient::tickets) + "\""
            + ",\"receipts\":\"" + passed(JavClient::receipts) + "\""
            + ",\"errors\":\"" + passed(JavClient::errors) + "\"}";
        System.out.println(line);
        System.exit(0);
    }

    static String passed(Check check) {
        try {
            check.run();
            return "ok";
        } catch (Throwable error) {
            return error.toString().replaceAll("[\"\\\\\\s]+", " ");
        }
    }

    static void tickets() throws Exception {
        List<ExpoPushTicket> found = send(message(List.of(IOS, ANDROID), "Hello"));
        for (ExpoPushTicket ticket : found) {
            expect("ticket", Status.OK, ticket.getStatus());
            ids.add(ticket.getId());
        }
        expect("tickets", 2, ids.size());
    }

    static void receipts() throws Exception {
        for (ExpoPushReceipt receipt : settled(ids)) expect("receipt", Status.OK, receipt.getStatus());
    }

    static void errors() throws Exception {
        ExpoPushTicket unknown = send(message(List.of(System.getenv("TOKEN_UNKNOWN")), "Hello")).get(0);
        expect("ticket", "DeviceNotRegistered", unknown.getDetails().getError().toString());
        ExpoPushTicket big = send(message(List.of(IOS), "x".repeat(5000))).get(0);
        ExpoPushReceipt receipt = settled(List.of(big.getId())).get(0);
        expect("receipt", "MessageTooBig", receipt.getDetails().getError().toString());
        try {
            send(message(Collections.nCopies(100, IOS), "a"), message(List.of(IOS), "b"));
            throw new AssertionError("101 recipients were accepted");
        } catch (java.util.concurrent.ExecutionException refused) {
            // As it should be.
        }
    }

    static ExpoPushMessage message(List<String> to, String body) {
        ExpoPushMessage message = new ExpoPushMessage(to);
        message.setBody(body);
        return message;
    }

    static List<ExpoPushTicket> send(ExpoPushMessage... messages) throws Exception {
        return client.sendPushNotificationsAsync(List.of(messages)).get();
    }

    static List<ExpoPushReceipt> settled(List<String> wanted) throws Exception {
        for (int tries = 0; tries < 100; tries++) {
            List<ExpoPushReceipt> found = client.getPushNotificationReceiptsAsync(wanted).get();
            if (found.size() == wanted.size()) return found;
            Thread.sleep(100);
        }
        throw new AssertionError("no receipts after 10 seconds");
    }

    static void expect(String what, Object wanted, Object got) {
        if (!wanted.equals(got)) throw new AssertionError(what + ": got " + got + ", wanted " + wanted);
    }
}
