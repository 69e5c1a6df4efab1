//! Symbols that are newer than the oldest system the runtime promises.

#[cfg(any(target_vendor = "apple", xpc_runtime_force_apple))]
use std::ffi::{CStr, c_char, c_void};
#[cfg(any(target_vendor = "apple", xpc_runtime_force_apple))]
use std::ptr::{self, NonNull};
#[cfg(any(target_vendor = "apple", xpc_runtime_force_apple))]
use std::sync::atomic::{AtomicPtr, Ordering};

/// Declares functions and data that the running system may lack: each becomes a function that looks for it.
///
/// Off Apple's systems nothing is older than the rest: what defines the symbols is linked with the program, and need
/// not be visible to `dlsym`.
macro_rules! weak {
    (@one $(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        $(#[$doc])*
        pub fn $name() -> Option<unsafe extern "C" fn($($argument: $type),*) $(-> $result)?> {
            #[cfg(any(target_vendor = "apple", xpc_runtime_force_apple))]
            {
                static SYMBOL: $crate::weak::Symbol = $crate::weak::Symbol::new(concat!(stringify!($name), "\0"));
                // SAFETY: the symbol is the function that the header declares with this signature, which
                // `tests/bindings.rs` compares; a pointer to a function has the size of one to data on Apple's systems.
                SYMBOL.address().map(|address| unsafe {
                    std::mem::transmute::<*mut std::ffi::c_void, unsafe extern "C" fn($($argument: $type),*) $(-> $result)?>(
                        address.as_ptr(),
                    )
                })
            }
            #[cfg(not(any(target_vendor = "apple", xpc_runtime_force_apple)))]
            {
                unsafe extern "C" {
                    fn $name($($argument: $type),*) $(-> $result)?;
                }
                Some($name)
            }
        }
    };
    (@one $(#[$doc:meta])* static $name:ident: $type:ty) => {
        $(#[$doc])*
        #[allow(non_snake_case, clippy::allow_attributes, reason = "C's names, of which some are capitals")]
        pub fn $name() -> Option<*const $type> {
            #[cfg(any(target_vendor = "apple", xpc_runtime_force_apple))]
            {
                static SYMBOL: $crate::weak::Symbol = $crate::weak::Symbol::new(concat!(stringify!($name), "\0"));
                SYMBOL.address().map(|address| address.as_ptr().cast::<$type>().cast_const())
            }
            #[cfg(not(any(target_vendor = "apple", xpc_runtime_force_apple)))]
            {
                unsafe extern "C" {
                    static $name: $type;
                }
                Some(&raw const $name)
            }
        }
    };
    ($($(#[$doc:meta])* $kind:ident $name:ident $(($($argument:ident: $type:ty),*))? $(-> $result:ty)? $(: $of:ty)?;)*) => {
        $(weak!(@one $(#[$doc])* $kind $name $(($($argument: $type),*))? $(-> $result)? $(: $of)?);)*
    };
}

/// A symbol, looked up at its first use.
#[cfg(any(target_vendor = "apple", xpc_runtime_force_apple))]
pub struct Symbol {
    /// Ends with a NUL.
    name: &'static str,
    /// Null until it was found. One that is missing is looked for again: that is rare, and what was loaded since may
    /// have it.
    found: AtomicPtr<c_void>,
}

#[cfg(any(target_vendor = "apple", xpc_runtime_force_apple))]
impl Symbol {
    /// A symbol of this name, which ends with a NUL.
    pub const fn new(name: &'static str) -> Self {
        Self { name, found: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Where the symbol is, if the system has it.
    pub fn address(&self) -> Option<NonNull<c_void>> {
        unsafe extern "C" {
            /// dlsym(3); in tests over the shim its own, which can be as old a system as a test wants.
            #[cfg_attr(xpc_runtime_force_apple, link_name = "xpc_shim_dlsym")]
            fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
        }
        /// `RTLD_DEFAULT` of `dlfcn.h`: every image of the process, in the order of loading.
        const DEFAULT: *mut c_void =
            ptr::without_provenance_mut(if cfg!(target_vendor = "apple") { -2_isize as usize } else { 0 });

        if let Some(found) = NonNull::new(self.found.load(Ordering::Relaxed)) {
            return Some(found);
        }
        let name = CStr::from_bytes_with_nul(self.name.as_bytes()).expect("the macro ends it with a NUL");
        // SAFETY: a C string; the handle is one that needs no opening. What is found is never unloaded: libxpc is part
        // of libSystem.
        let address = unsafe { dlsym(DEFAULT, name.as_ptr()) };
        self.found.store(address, Ordering::Relaxed);
        NonNull::new(address)
    }
}
