// What the programs beside this use of libxpc, for systems without Apple's headers. For Apple's targets the same programs
// are compiled with Apple's own, so that what is declared here cannot differ from them in what matters.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef void *xpc_object_t;
typedef void *xpc_connection_t;
typedef void *dispatch_queue_t;
typedef const struct xpc_type *xpc_type_t;
typedef void (^xpc_handler_t)(xpc_object_t object);
typedef void (^dispatch_block_t)(void);
typedef bool (^xpc_dictionary_applier_t)(const char *key, xpc_object_t value);
typedef void (*xpc_connection_handler_t)(xpc_connection_t connection);

extern const struct xpc_type _xpc_type_connection, _xpc_type_dictionary, _xpc_type_error, _xpc_type_string;
#define XPC_TYPE_CONNECTION (&_xpc_type_connection)
#define XPC_TYPE_DICTIONARY (&_xpc_type_dictionary)
#define XPC_TYPE_ERROR (&_xpc_type_error)
#define XPC_TYPE_STRING (&_xpc_type_string)

extern const struct xpc_error _xpc_error_connection_interrupted, _xpc_error_connection_invalid;
#define XPC_ERROR_CONNECTION_INTERRUPTED ((xpc_object_t)&_xpc_error_connection_interrupted)
#define XPC_ERROR_CONNECTION_INVALID ((xpc_object_t)&_xpc_error_connection_invalid)
extern const char *const _xpc_error_key_description;
#define XPC_ERROR_KEY_DESCRIPTION _xpc_error_key_description

xpc_object_t xpc_retain(xpc_object_t object);
void xpc_release(xpc_object_t object);
xpc_type_t xpc_get_type(xpc_object_t object);

xpc_object_t xpc_dictionary_create(const char *const *keys, const xpc_object_t *values, size_t count);
xpc_object_t xpc_dictionary_create_reply(xpc_object_t original);
xpc_connection_t xpc_dictionary_get_remote_connection(xpc_object_t dictionary);
void xpc_dictionary_set_string(xpc_object_t dictionary, const char *key, const char *value);
const char *xpc_dictionary_get_string(xpc_object_t dictionary, const char *key);
bool xpc_dictionary_apply(xpc_object_t dictionary, xpc_dictionary_applier_t applier);

xpc_connection_t xpc_connection_create(const char *name, dispatch_queue_t queue);
void xpc_connection_set_event_handler(xpc_connection_t connection, xpc_handler_t handler);
void xpc_connection_suspend(xpc_connection_t connection);
void xpc_connection_resume(xpc_connection_t connection);
void xpc_connection_send_message(xpc_connection_t connection, xpc_object_t message);
void xpc_connection_send_barrier(xpc_connection_t connection, dispatch_block_t barrier);
void xpc_connection_send_message_with_reply(xpc_connection_t connection, xpc_object_t message, dispatch_queue_t queue,
                                            xpc_handler_t handler);
xpc_object_t xpc_connection_send_message_with_reply_sync(xpc_connection_t connection, xpc_object_t message);
void xpc_connection_cancel(xpc_connection_t connection);
void xpc_main(xpc_connection_handler_t handler) __attribute__((noreturn));
