//! Mistakes that only the sanitizers see, and do see: `cargo xtask test apple` builds this with each of them.

#![cfg(all(target_os = "linux", sanitizer))]

mod support;

use support::end_of;
// With the `cfg` the declarations are linked with `libxpc_shim.so`.
use xpc_runtime_sys::types::*;
use xpc_runtime_sys::xpc::*;
#[cfg(not(xpc_runtime_force_apple))]
use xpc_shim as _;

macro_rules! reported {
    ($($(#[$condition:meta])* $name:ident: $report:literal, $mistake:expr;)*) => {$(
        $(#[$condition])*
        #[test]
        fn $name() {
            // SAFETY: none: the rule that it breaks is what the test is about, and the sanitizer ends the process.
            let output = end_of(stringify!($name), || unsafe { $mistake });
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains($report) && !output.status.success(), "{output:?}");
        }
    )*};
}

reported! {
    #[cfg(sanitizer = "address")]
    an_object_is_never_released: "LeakSanitizer: detected memory leaks", {
        // Several, since the address of the last may still stand somewhere.
        for number in 0..16 {
            xpc_int64_create(number);
        }
    };
    #[cfg(sanitizer = "address")]
    bytes_are_read_that_went_with_their_object: "AddressSanitizer: heap-use-after-free", {
        let object = xpc_data_create(b"bytes".as_ptr().cast(), 5);
        let bytes = xpc_data_get_bytes_ptr(object).cast::<u8>();
        xpc_release(object);
        assert_eq!(bytes.read_volatile(), b'b');
    };
    #[cfg(sanitizer = "address")]
    more_bytes_are_read_than_there_are: "AddressSanitizer: heap-buffer-overflow", {
        let object = xpc_data_create(b"bytes".as_ptr().cast(), 5);
        let bytes = xpc_data_get_bytes_ptr(object).cast::<u8>();
        assert_eq!(bytes.add(5).read_volatile(), 0);
    };
    #[cfg(sanitizer = "thread")]
    memory_is_used_by_two_threads_at_once: "ThreadSanitizer: data race", {
        // What a connection's handler and its maker might share, without a lock.
        static mut SHARED: u64 = 0;
        let other = std::thread::spawn(|| (&raw mut SHARED).write_volatile(1));
        (&raw mut SHARED).write_volatile(2);
        other.join().unwrap();
    };
}
