// A service in C, by Apple's guide to XPC services: greets whoever gives a name, and says goodbye to whoever asks for it.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xpc/xpc.h>

static void answer(xpc_object_t request)
{
    const char *name = xpc_dictionary_get_string(request, "name");
    xpc_object_t reply = xpc_dictionary_create_reply(request);
    if (reply == NULL)
        return; // It was a message, not a request.
    if (name == NULL)
        abort();
    char greeting[256];
    snprintf(greeting, sizeof greeting, "Hello, %s!", name);
    xpc_dictionary_set_string(reply, "greeting", greeting);
    xpc_connection_send_message(xpc_dictionary_get_remote_connection(request), reply);
    xpc_release(reply);
}

// To the client, beside the replies.
static void say_how_many(xpc_connection_t client, int count)
{
    xpc_object_t message = xpc_dictionary_create(NULL, NULL, 0);
    char text[32];
    snprintf(text, sizeof text, "%d", count);
    xpc_dictionary_set_string(message, "messages", text);
    xpc_connection_send_message(client, message);
    xpc_release(message);
}

static void accept_client(xpc_connection_t client)
{
    int *count = calloc(1, sizeof *count);
    xpc_connection_set_event_handler(client, ^(xpc_object_t event) {
        if (xpc_get_type(event) == XPC_TYPE_ERROR) {
            if (event == XPC_ERROR_CONNECTION_INVALID)
                free(count); // The client is gone: this is the last event.
            return;
        }
        const char *wish = xpc_dictionary_get_string(event, "wish");
        if (wish != NULL && strcmp(wish, "crash") == 0)
            abort();
        if (wish != NULL && strcmp(wish, "count") == 0) {
            say_how_many(client, *count);
            return;
        }
        *count += 1;
        answer(event);
    });
    xpc_connection_resume(client);
}

int main(void)
{
    xpc_main(accept_client);
}
