// A floor for decoding: the deserialiser of Eclipse Paho's C client, called with packets that lie in memory in one piece.
// Prints the nanoseconds of CPU a packet. Its static library (libpaho-mqtt-dev) holds the functions; its headers do not
// declare them. What its option PAHO_HIGH_PERFORMANCE leaves out, a list of every allocation and of every call, is left out
// here too, by standing in for it.
//
//   paho FILE PACKETS PASSES
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

// MQTTPacket.h of version 1.3: how a PUBLISH and an acknowledgement begin.
struct publish {
  union { char byte; unsigned int bits; } header;
  char *topic;
  int topic_length, id;
  char *payload;
  int payload_length;
};
struct ack {
  union { char byte; unsigned int bits; } header;
  int id;
};
void *MQTTPacket_publish(int version, unsigned char header, char *data, size_t length);
void MQTTPacket_freePublish(struct publish *packet);
void *MQTTPacket_ack(int version, unsigned char header, char *data, size_t length);
void MQTTPacket_freeAck(struct ack *packet);
int MQTTPacket_decodeBuf(char *bytes, unsigned int *value);

void *mymalloc(char *file, int line, size_t size) { return (void)file, (void)line, malloc(size); }
void *myrealloc(char *file, int line, void *p, size_t size) { return (void)file, (void)line, realloc(p, size); }
void myfree(char *file, int line, void *p) { (void)file, (void)line, free(p); }
void StackTrace_entry(const char *name, int line, int level) { (void)name, (void)line, (void)level; }
void StackTrace_exit(const char *name, int line, void *code, int level) { (void)name, (void)line, (void)code, (void)level; }

static unsigned long total;

static long pass(char *at, char *end) {
  long packets = 0;
  for (; at < end; packets++) {
    unsigned char header = (unsigned char)*at++;
    unsigned int length;
    at += MQTTPacket_decodeBuf(at, &length);
    if (header >> 4 == 3) {
      struct publish *packet = MQTTPacket_publish(4, header, at, length);
      total += packet->topic_length + packet->payload_length + packet->id;
      MQTTPacket_freePublish(packet);
    } else if (header >> 4 == 4) {
      struct ack *packet = MQTTPacket_ack(4, header, at, length);
      total += packet->id;
      MQTTPacket_freeAck(packet);
    } else total++;
    at += length;
  }
  return packets;
}

static double cpu_nanoseconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

int main(int argc, char **argv) {
  if (argc != 4) return puts(MQTTClient_getVersionInfo()[1].value), 0;
  FILE *file = fopen(argv[1], "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) return 2;
  size_t size = ftell(file);
  rewind(file);
  char *bytes = malloc(size);
  if (fread(bytes, 1, size, file) != size) return 2;
  long packets = atol(argv[2]), passes = atol(argv[3]);
  if (pass(bytes, bytes + size) != packets) return 3;
  double begin = cpu_nanoseconds();
  for (long i = 0; i < passes; i++) pass(bytes, bytes + size);
  printf("%.3f %lu\n", (cpu_nanoseconds() - begin) / packets / passes, total);
  return 0;
}
