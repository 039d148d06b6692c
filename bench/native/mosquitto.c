// libmosquitto as a peer of client.mjs and receive.mjs: one client, one process, its own network loop in the thread that
// publishes (the library's thread, mosquitto_loop_start, costs it a wake and a lock a message more). Prints JSON.
//
//   mosquitto publish|receive|latency CA-FILE|- PORT MESSAGES WARMUP WINDOW PAYLOAD-BYTES QOS
//
// With latency it is told by lines what to do: so many messages one at a time; 0: say the percentiles of all since the last.
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char *topic = "devices/thermostat-1/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8";
static struct mosquitto *client;
static char *payload;
static int window, payload_bytes, qos, receiving, ready;
static long sent, finished, count;

static void check(int code, const char *what) {
  if (code == MOSQ_ERR_SUCCESS) return;
  fprintf(stderr, "libmosquitto: %s: %s\n", what, mosquitto_strerror(code));
  exit(1);
}

static void send_one(void) {
  sent++;
  check(mosquitto_publish(client, NULL, topic, payload_bytes, payload, qos, 0), "publish");
}

static void on_connect(struct mosquitto *m, void *data, int code) {
  (void)m, (void)data;
  check(code, "connect");
  ready = 1;
}

static void on_subscribe(struct mosquitto *m, void *data, int id, int levels, const int *granted) {
  (void)m, (void)data, (void)id, (void)levels, (void)granted;
  ready = 1;
}

static void on_publish(struct mosquitto *m, void *data, int id) {
  (void)m, (void)data, (void)id;
  if (!receiving) finished++;
}

static void on_message(struct mosquitto *m, void *data, const struct mosquitto_message *message) {
  (void)m, (void)data;
  if ((int)strlen(message->topic) + message->payloadlen < payload_bytes) exit(3);
  finished++;
}

static void turn(void) { check(mosquitto_loop(client, 1000, 1), "loop"); }

static void run(long messages) {
  sent = finished = 0;
  count = messages;
  if (receiving) {
    char order[200];
    int length = snprintf(order, sizeof order, "{\"qos\":%d,\"count\":%ld,\"window\":%d,\"payloadBytes\":%d}", qos, messages,
                          window, payload_bytes);
    check(mosquitto_publish(client, NULL, "order", length, order, 0, 0), "publish");
  }
  while (finished < count) {
    // Outside the callbacks: the library then writes at once, which costs less than its queue.
    while (!receiving && sent < count && sent - finished < window) send_one();
    if (receiving || sent > finished) turn();
  }
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int ascending(const void *a, const void *b) { return *(double *)a < *(double *)b ? -1 : 1; }

/** As latency.mjs has every peer do it: the first tenth of each turn is not counted. */
static void latency(long most) {
  double *took = malloc(most * sizeof(double)), cpu = 0;
  long kept = 0, done = 0, turn_of;
  window = 1;
  while (scanf("%ld", &turn_of) == 1) {
    double before = cpu_seconds();
    for (long i = 0; i < turn_of; i++) {
      double begin = seconds();
      run(1);
      if (i >= turn_of / 10 && kept < most) took[kept++] = (seconds() - begin) * 1e6;
    }
    cpu += cpu_seconds() - before;
    done += turn_of;
    if (turn_of > 0) printf("{}\n");
    else {
      qsort(took, kept, sizeof(double), ascending);
      double p50 = took[kept / 2], p99 = took[kept * 99 / 100];
      printf("{\"p50\":%.3f,\"p99\":%.3f,\"quiet\":%.3f,\"cpu\":%.3f}\n", p50, p99, p99, cpu / done * 1e6);
      kept = done = cpu = 0;
    }
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  int major, minor, revision;
  mosquitto_lib_version(&major, &minor, &revision);
  if (argc != 9) return printf("%d.%d.%d\n", major, minor, revision), 0;
  receiving = strcmp(argv[1], "receive") == 0;
  long messages = atol(argv[4]), warmup = atol(argv[5]);
  window = atoi(argv[6]), payload_bytes = atoi(argv[7]), qos = atoi(argv[8]);
  payload = malloc(payload_bytes);
  memset(payload, 'x', payload_bytes);

  mosquitto_lib_init();
  client = mosquitto_new("bench", true, NULL);
  mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
  mosquitto_max_inflight_messages_set(client, window);
  mosquitto_connect_callback_set(client, on_connect);
  mosquitto_subscribe_callback_set(client, on_subscribe);
  mosquitto_publish_callback_set(client, on_publish);
  mosquitto_message_callback_set(client, on_message);
  if (strcmp(argv[2], "-") != 0) check(mosquitto_tls_set(client, argv[2], NULL, NULL, NULL, NULL), "TLS");
  check(mosquitto_connect(client, "localhost", atoi(argv[3]), 60), "connect");
  while (!ready) turn();
  if (receiving) {
    ready = 0;
    check(mosquitto_subscribe(client, NULL, "devices/thermostat-1/messages/devicebound/#", qos), "subscribe");
    while (!ready) turn();
  }
  if (strcmp(argv[1], "latency") == 0) return latency(messages), 0;
  run(warmup);
  double cpu = cpu_seconds(), begin = seconds();
  run(messages);
  printf("{\"seconds\":%.9f,\"cpuSeconds\":%.9f}\n", seconds() - begin, cpu_seconds() - cpu);
  mosquitto_disconnect(client);
  return 0;
}
