// A client in C, by Apple's guide to XPC services: connects to a service by its name and asks it in every way there is.
//   client SERVICE greet NAME       asks for a greeting, waiting and not waiting
//   client SERVICE lifetime         has the service (of service.c) send messages, and crash
// It prints what it is told, a line each, and fails where something else comes than may come.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xpc/xpc.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

// What the blocks below have told: how often each thing has come.
struct told {
    int replies, messages, interrupted, invalid, barriers;
};

static void tell(int *what)
{
    pthread_mutex_lock(&lock);
    *what += 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for(const int *what, int count)
{
    pthread_mutex_lock(&lock);
    while (*what < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void fail(const char *what)
{
    fprintf(stderr, "client: %s\n", what);
    exit(1);
}

static xpc_connection_t connect_to(const char *service, struct told *told)
{
    xpc_connection_t connection = xpc_connection_create(service, NULL);
    xpc_connection_set_event_handler(connection, ^(xpc_object_t event) {
        xpc_type_t type = xpc_get_type(event);
        if (type == XPC_TYPE_DICTIONARY) {
            printf("message: %s\n", xpc_dictionary_get_string(event, "messages"));
            tell(&told->messages);
        } else if (event == XPC_ERROR_CONNECTION_INTERRUPTED) {
            tell(&told->interrupted);
        } else if (event == XPC_ERROR_CONNECTION_INVALID) {
            tell(&told->invalid);
        } else {
            fail("an event of another kind");
        }
    });
    xpc_connection_resume(connection);
    return connection;
}

static xpc_object_t message(const char *key, const char *value)
{
    xpc_object_t message = xpc_dictionary_create(NULL, NULL, 0);
    xpc_dictionary_set_string(message, key, value);
    return message;
}

static void show(const char *how, xpc_object_t reply)
{
    if (xpc_get_type(reply) == XPC_TYPE_ERROR)
        printf("%s: %s\n", how, xpc_dictionary_get_string(reply, XPC_ERROR_KEY_DESCRIPTION));
    else
        printf("%s: %s\n", how, xpc_dictionary_get_string(reply, "greeting"));
}

static void ask_and_wait(xpc_connection_t connection, xpc_object_t request)
{
    xpc_object_t reply = xpc_connection_send_message_with_reply_sync(connection, request);
    show("waited", reply);
    xpc_release(reply);
}

static void ask(xpc_connection_t connection, xpc_object_t request, struct told *told)
{
    // One block in another: the outer one is copied, and copies the inner one.
    xpc_handler_t print = ^(xpc_object_t reply) {
        show("called back", reply);
    };
    xpc_connection_send_message_with_reply(connection, request, NULL, ^(xpc_object_t reply) {
        print(reply);
        tell(&told->replies);
    });
}

static void greet(xpc_connection_t connection, const char *name, struct told *told)
{
    xpc_object_t request = message("name", name);
    xpc_dictionary_apply(request, ^bool(const char *key, xpc_object_t value) {
        printf("asking with %s%s\n", key, xpc_get_type(value) == XPC_TYPE_STRING ? "" : ", which is no string");
        return true;
    });
    ask_and_wait(connection, request);
    ask(connection, request, told);
    wait_for(&told->replies, 1);
    // Nothing is sent while it is suspended; the request leaves with the resumption.
    xpc_connection_suspend(connection);
    ask(connection, request, told);
    xpc_connection_resume(connection);
    wait_for(&told->replies, 2);
    xpc_release(request);
}

static void lifetime(xpc_connection_t connection, struct told *told)
{
    xpc_object_t count = message("wish", "count"), crash = message("wish", "crash"), name = message("name", "again");
    xpc_connection_send_message(connection, name);
    xpc_connection_send_message(connection, count);
    wait_for(&told->messages, 1);
    xpc_connection_send_message(connection, name);
    xpc_connection_send_barrier(connection, ^{
        tell(&told->barriers);
    });
    wait_for(&told->barriers, 1);
    xpc_connection_send_message(connection, count);
    wait_for(&told->messages, 2);
    ask_and_wait(connection, crash);
    wait_for(&told->interrupted, 1);
    ask_and_wait(connection, name);
    // Another instance, which counts from the beginning.
    xpc_connection_send_message(connection, count);
    wait_for(&told->messages, 3);
    xpc_release(count);
    xpc_release(crash);
    xpc_release(name);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        fail("which service, and what of it?");
    struct told told = {0}, unknown = {0};
    xpc_connection_t connection = connect_to(argv[1], &told);
    if (strcmp(argv[2], "greet") == 0 && argc == 4)
        greet(connection, argv[3], &told);
    else if (strcmp(argv[2], "lifetime") == 0)
        lifetime(connection, &told);
    else
        fail("what is it to do?");
    // One's own cancel is told once, and is the end.
    xpc_connection_cancel(connection);
    wait_for(&told.invalid, 1);
    xpc_release(connection);
    // There is no such service, which shows in the handler only.
    xpc_connection_t nowhere = connect_to("com.example.nowhere", &unknown);
    wait_for(&unknown.invalid, 1);
    xpc_release(nowhere);
    printf("interrupted %d, invalid %d\n", told.interrupted, told.invalid + unknown.invalid);
    return 0;
}
