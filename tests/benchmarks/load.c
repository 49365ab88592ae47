/* A load generator for chattwist: many clients in one process and one thread, on the loopback address.

     load -p PORT[,PORT...] -n CLIENTS [OPTION...]

     -d DEPTH     commands that each client keeps in flight; 1
     -t SECONDS   how long to measure; 0: until SIGTERM
     -w SECONDS   how long to send before that; 0.5
     -k COUNT     send so many commands altogether, whatever the time, and wait for their replies; measured from the first
     -u NAME      client i has the account NAMEi, which it registers, or takes over if it is there; user
     -P PASSWORD  of all of them
     -s BYTES     length of a message's text; 100
     -c COMMAND   "SEND %p %t"; several take turns, and the first is measured. %n is the client's name; %p its partner's: 0 has
                  1 and 1 has 0, 2 has 3, and so on, the last of an odd number itself; %t a text; %k counts commands
     -a           do not log in before
     -l           measure from SEND to the recipient's * MSG, instead of to the reply
     -i           send nothing, only be logged in
     -o FILE      write each measured latency: struct sample

   Client i is at the (i modulo their number)th port. Printed are "ready SECONDS" once all are logged in, "begin" when the
   measurement begins, and at its end one line of JSON with counts, the rate a second and latencies in milliseconds. A
   refusal (4xx) is counted, and the client goes on. Any 5xx and any connection that ends is the end, with status 1. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { PORTS = 16, COMMANDS = 8, LINE = 9000, INPUT = 65536, LOGINS = 24, EVENTS = 256 };

struct client {
    int fd, number;
    bool is_ready, waits_for_room;
    char in[INPUT], *out; /* the beginning of a line; what is not sent yet */
    size_t in_length, out_length;
    double *begun; /* a ring of DEPTH: when each command in flight was sent; negative if it is not to be measured */
    unsigned oldest, in_flight, turn;
};

struct sample {
    double ended; /* on the monotonic clock, in seconds */
    float latency; /* seconds */
    uint32_t client;
};

static struct {
    int ports[PORTS], port_count, clients, depth, size, command_count;
    double seconds, warm_up;
    long count;
    bool is_anonymous, is_delivery, is_idle;
    const char *name, *password, *commands[COMMANDS], *file;
} options = {.depth = 1, .size = 100, .seconds = 3, .warm_up = 0.5, .name = "user", .password = "a-good-password"};

static struct client *clients;
static int poll_fd, ready_count;
static double now; /* when the last bytes came */
static bool is_sending, is_measuring;
static volatile sig_atomic_t is_over;
static long sent, replied, delivered, refused;
static struct sample *samples;
static size_t sample_count, sample_room;
static char *text;

#define fail(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

static double clock_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void say(struct client *client, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    client->out_length += vsnprintf(client->out + client->out_length, LINE, format, arguments);
    va_end(arguments);
}

static void watch(struct client *client, int operation, bool for_room) {
    struct epoll_event event = {EPOLLIN | (for_room ? EPOLLOUT : 0), {.ptr = client}};
    epoll_ctl(poll_fd, operation, client->fd, &event);
    client->waits_for_room = for_room;
}

static void flush(struct client *client) {
    ssize_t done = 0;
    while (client->out_length && done >= 0) {
        done = send(client->fd, client->out, client->out_length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done < 0 && errno != EAGAIN)
            fail("client %d: %s", client->number, strerror(errno));
        if (done > 0)
            memmove(client->out, client->out + done, client->out_length -= done);
    }
    if (client->waits_for_room != (client->out_length > 0))
        watch(client, EPOLL_CTL_MOD, client->out_length > 0);
}

static int partner(int number) { return (number ^ 1) < options.clients ? number ^ 1 : number; }

static void say_word(struct client *client, char which) {
    if (which == 'k')
        say(client, "%ld", sent);
    else if (which == 't')
        say(client, "%020llu%s", (unsigned long long)(now * 1e9), text);
    else
        say(client, "%s%d", options.name, which == 'p' ? partner(client->number) : client->number);
}

static void say_command(struct client *client, const char *command) {
    for (; *command; command++) {
        if (command[0] == '%' && command[1] && strchr("nptk", command[1]))
            say_word(client, *++command);
        else
            client->out[client->out_length++] = *command;
    }
    say(client, "\n");
}

static void send_next(struct client *client) {
    if (!is_sending || (options.count && sent >= options.count))
        return;
    say_command(client, options.commands[client->turn]);
    client->begun[(client->oldest + client->in_flight++) % options.depth] = client->turn ? -1 : now;
    client->turn = (client->turn + 1) % options.command_count;
    sent++;
}

static void take_sample(struct client *client, double begun) {
    if (!is_measuring)
        return;
    if (sample_count == sample_room)
        samples = realloc(samples, (sample_room = 2 * sample_room + 65536) * sizeof *samples);
    samples[sample_count++] = (struct sample){now, now - begun, client->number};
}

static void take_message(struct client *client, const char *line) {
    for (int spaces = 0; *line && spaces < 6; line++) /* * MSG ID TIME SENDER RECIPIENT text */
        spaces += *line == ' ';
    if (options.is_delivery)
        take_sample(client, strtoull(line, NULL, 10) * 1e-9);
    delivered += is_measuring;
}

static void take_login(struct client *client, const char *line) {
    if (!strncmp(line, "230", 3)) {
        client->is_ready = true;
        ready_count++;
    } else if (!strncmp(line, "551", 3) || *line == '4')
        say(client, "TAKEOVER %s%d %s\n", options.name, client->number, options.password);
    else
        fail("client %d could not log in: %s", client->number, line);
}

static void take_reply(struct client *client, const char *line) {
    double begun = client->begun[client->oldest];
    if (!client->in_flight)
        fail("client %d, which asked nothing, was told: %s", client->number, line);
    client->oldest = (client->oldest + 1) % options.depth;
    client->in_flight--;
    replied++;
    if (*line == '4')
        refused++;
    else if (*line != '2')
        fail("client %d was answered: %s", client->number, line);
    else if (begun >= 0 && !options.is_delivery)
        take_sample(client, begun);
    send_next(client);
}

static void take_line(struct client *client, const char *line, size_t length) {
    const char *tag_end = *line == '@' ? strchr(line, ' ') : NULL;
    if (tag_end)
        length -= tag_end + 1 - line, line = tag_end + 1;
    if (*line == '*') {
        if (!strncmp(line, "* MSG ", 6))
            take_message(client, line);
        else if (!strncmp(line, "* BYE ", 6))
            fail("client %d: %s", client->number, line);
    } else if (length > 3 && line[3] == ' ' && strncmp(line, "220", 3))
        (client->is_ready ? take_reply : take_login)(client, line);
}

static void receive(struct client *client) {
    char *end, *line = client->in;
    ssize_t size = recv(client->fd, client->in + client->in_length, INPUT - client->in_length, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0)
        fail("client %d: the connection ended", client->number);
    now = clock_now();
    client->in_length += size;
    while ((end = memchr(line, '\n', client->in + client->in_length - line))) {
        size_t length = end - line - (end > line && end[-1] == '\r');
        line[length] = 0;
        take_line(client, line, length);
        line = end + 1;
    }
    client->in_length -= line - client->in;
    memmove(client->in, line, client->in_length);
    flush(client);
}

static void pump(int milliseconds) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poll_fd, events, EVENTS, milliseconds);
    for (int i = 0; i < count; i++) {
        if (events[i].events & EPOLLOUT)
            flush(events[i].data.ptr);
        if (events[i].events & ~EPOLLOUT)
            receive(events[i].data.ptr);
    }
}

static void open_client(struct client *client, int number) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options.ports[number % options.port_count])};
    int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->number = number;
    client->begun = calloc(options.depth, sizeof *client->begun);
    client->out = malloc((options.depth + 1) * LINE);
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof address))
        fail("client %d cannot connect: %s", number, strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    watch(client, EPOLL_CTL_ADD, false);
    if (options.is_anonymous) {
        client->is_ready = true;
        ready_count++;
    } else {
        say(client, "REGISTER %s%d %s\n", options.name, number, options.password);
        flush(client);
    }
}

static void open_all(void) {
    double begun = clock_now();
    for (int i = 0; i < options.clients && !is_over; i++) {
        open_client(&clients[i], i);
        while (i + 1 - ready_count >= LOGINS && !is_over)
            pump(100);
    }
    while (ready_count < options.clients && !is_over)
        pump(100);
    printf("ready %.3f\n", clock_now() - begun);
    fflush(stdout);
}

static void pump_for(double seconds, bool has_end) {
    double end = clock_now() + seconds;
    while (!is_over && (!has_end || clock_now() < end) && (!options.count || replied < options.count))
        pump(20);
}

static double measure(void) {
    now = clock_now();
    is_sending = !options.is_idle;
    for (int i = 0; i < options.clients; i++) {
        for (int k = 0; k < options.depth; k++)
            send_next(&clients[i]);
        flush(&clients[i]);
    }
    if (!options.count)
        pump_for(options.warm_up, true);
    puts("begin");
    fflush(stdout);
    double begun = clock_now();
    is_measuring = true;
    pump_for(options.seconds, options.seconds > 0 && !options.count);
    return clock_now() - begun;
}

static int by_latency(const void *a, const void *b) {
    float one = ((const struct sample *)a)->latency, other = ((const struct sample *)b)->latency;
    return (one > other) - (one < other);
}

static double part(double share) {
    return sample_count ? samples[(size_t)((sample_count - 1) * share)].latency * 1e3 : 0;
}

static void write_samples(void) {
    FILE *file = fopen(options.file, "wb");
    if (!file || fwrite(samples, sizeof *samples, sample_count, file) != sample_count || fclose(file))
        fail("%s: %s", options.file, strerror(errno));
}

static void tell(double seconds) {
    if (options.file)
        write_samples();
    qsort(samples, sample_count, sizeof *samples, by_latency);
    printf("{\"seconds\": %.6f, \"count\": %zu, \"delivered\": %ld, \"refused\": %ld, \"rate\": %.1f, ", seconds,
           sample_count, delivered, refused, sample_count / seconds);
    printf("\"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, \"max\": %.4f}\n", part(0.5), part(0.9), part(0.99), part(1));
}

static void understand(int count, char **words) {
    for (int option; (option = getopt(count, words, "p:n:d:t:w:k:u:P:s:c:alio:")) != -1;)
        switch (option) {
        case 'p':
            for (char *port = strtok(optarg, ","); port && options.port_count < PORTS; port = strtok(NULL, ","))
                options.ports[options.port_count++] = atoi(port);
            break;
        case 'n': options.clients = atoi(optarg); break;
        case 'd': options.depth = atoi(optarg); break;
        case 't': options.seconds = atof(optarg); break;
        case 'w': options.warm_up = atof(optarg); break;
        case 'k': options.count = atol(optarg); break;
        case 'u': options.name = optarg; break;
        case 'P': options.password = optarg; break;
        case 's': options.size = atoi(optarg); break;
        case 'c':
            if (options.command_count < COMMANDS)
                options.commands[options.command_count++] = optarg;
            break;
        case 'a': options.is_anonymous = true; break;
        case 'l': options.is_delivery = true; break;
        case 'i': options.is_idle = true; break;
        case 'o': options.file = optarg; break;
        default: fail("usage: load -p PORT[,PORT...] -n CLIENTS [OPTION...]; its source begins with all of them");
        }
    if (!options.command_count)
        options.commands[options.command_count++] = "SEND %p %t";
    if (!options.port_count || options.clients < 1 || options.depth < 1 || options.size < 20 || options.size > 8000)
        fail("load needs ports, clients, a depth of 1 or more, and a text of 20 to 8000 bytes");
}

static void stop(int number) { is_over = number; }

int main(int count, char **words) {
    understand(count, words);
    signal(SIGTERM, stop);
    text = malloc(options.size - 19);
    memset(text, 'x', options.size - 20);
    text[options.size - 20] = 0;
    clients = calloc(options.clients, sizeof *clients);
    poll_fd = epoll_create1(0);
    open_all();
    tell(measure());
    return 0;
}
