//! Objects, and who counts on them.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lock;
use crate::value::Value;

/// The count of an object that was never made, and never goes.
const IMMORTAL: usize = usize::MAX;
/// The counts of an object that is gone, or that a wild release made negative, are above this.
const GONE: usize = usize::MAX / 2;
/// How many heads of objects that are gone are kept, so that whoever uses one is told so.
const QUARANTINE: usize = 1 << 16;

/// What an `xpc_object_t` points to.
#[repr(C)]
pub struct Object {
    /// How many references there are; 0 once it is gone.
    count: AtomicUsize,
    value: UnsafeCell<ManuallyDrop<Value>>,
}

// SAFETY: the count is atomic; the value is `Sync`, and changed only by `free`, once, when no reference is left.
unsafe impl Sync for Object {}

/// The heads of objects that are gone, the oldest first.
static GRAVES: Mutex<VecDeque<Grave>> = Mutex::new(VecDeque::new());

struct Grave(NonNull<Object>);

// SAFETY: nobody else has a right to the object.
unsafe impl Send for Grave {}

impl Object {
    /// A constant of the library.
    pub const fn immortal(value: Value) -> Self {
        Self { count: AtomicUsize::new(IMMORTAL), value: UnsafeCell::new(ManuallyDrop::new(value)) }
    }

    fn retain(&self) {
        match self.count.load(Ordering::Relaxed) {
            IMMORTAL => {}
            0 | GONE.. => misuse!("an object is retained that is gone"),
            _ => drop(self.count.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Retains the object if it is not about to go.
    fn try_retain(&self) -> bool {
        let mut count = self.count.load(Ordering::Relaxed);
        while count != 0 {
            match self.count.compare_exchange_weak(count, count + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    pub fn value(&self) -> &Value {
        // SAFETY: whoever has a `&Object` counts on it, or borrows from somebody who does; the value is dropped after.
        unsafe { &*self.value.get() }
    }
}

/// One reference to an object.
pub struct Ref(NonNull<Object>);

// SAFETY: an object is `Sync`, and its count is atomic.
unsafe impl Send for Ref {}
// SAFETY: as above.
unsafe impl Sync for Ref {}

impl Ref {
    pub fn new(value: Value) -> Self {
        let object = Box::new(Object { count: AtomicUsize::new(1), value: UnsafeCell::new(ManuallyDrop::new(value)) });
        Self(NonNull::from(Box::leak(object)))
    }

    pub fn constant(object: &'static Object) -> Self {
        Self(NonNull::from(object))
    }

    /// To C, which is to release it.
    pub fn into_owned(self) -> *mut Object {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// To C, which may use it as long as this reference or another one lives.
    pub fn lend(&self) -> *mut Object {
        self.0.as_ptr()
    }

    pub fn same(&self, other: *const Object) -> bool {
        ptr::eq(self.0.as_ptr(), other)
    }
}

impl std::ops::Deref for Ref {
    type Target = Object;

    fn deref(&self) -> &Object {
        // SAFETY: this reference keeps the object.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for Ref {
    fn clone(&self) -> Self {
        self.retain();
        Self(self.0)
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        let object = &**self;
        if object.count.load(Ordering::Relaxed) == IMMORTAL {
            return;
        }
        // Not a fence for the last one alone: ThreadSanitizer knows none.
        match object.count.fetch_sub(1, Ordering::AcqRel) {
            0 | GONE.. => misuse!("an object is released more often than it was retained"),
            1 => bury(self.0),
            _ => {}
        }
    }
}

/// The object's last reference is gone.
fn bury(object: NonNull<Object>) {
    // SAFETY: the head and the value are still there.
    unsafe { object.as_ref() }.value().may_go();
    // SAFETY: the count has reached zero by this thread's doing, so that this is done once, and nobody uses the value.
    unsafe { ManuallyDrop::drop(&mut *object.as_ref().value.get()) };
    let mut graves = lock(&GRAVES);
    graves.push_back(Grave(object));
    let forgotten = if graves.len() > QUARANTINE { graves.pop_front() } else { None };
    drop(graves);
    if let Some(Grave(object)) = forgotten {
        // SAFETY: it came out of a box, and its value, which the box does not drop, is gone.
        drop(unsafe { Box::from_raw(object.as_ptr()) });
    }
}

/// An object that does not count as a reference: whoever holds one finds out whether the object is still there.
#[derive(Default)]
pub struct Weak(Mutex<Option<NonNull<Object>>>);

// SAFETY: the pointer is used under the lock only, and taken away before its object goes.
unsafe impl Send for Weak {}
// SAFETY: as above.
unsafe impl Sync for Weak {}

impl Weak {
    pub fn set(&self, object: &Ref) {
        *lock(&self.0) = Some(object.0);
    }

    /// The object's value says this while it is dropped.
    pub fn clear(&self) {
        *lock(&self.0) = None;
    }

    pub fn upgrade(&self) -> Option<Ref> {
        let object = lock(&self.0);
        let pointer = (*object)?;
        // SAFETY: `clear` comes before the object's memory goes, and waits for this lock.
        unsafe { pointer.as_ref() }.try_retain().then(|| Ref(pointer))
    }
}

/// A parameter by which C lends an object for the call. Only C makes one.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Lent(*mut Object);

impl Lent {
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub fn as_ptr(self) -> *mut Object {
        self.0
    }

    /// The object, if it is one that is there.
    pub fn get<'a>(self) -> &'a Object {
        let Some(object) = NonNull::new(self.0) else { misuse!("an object is null") };
        // SAFETY: C promises that the pointer is that of an object; the head of one that has just gone is still there
        // to be asked. The lifetime is that of the call: nobody keeps the reference.
        let object = unsafe { object.as_ref() };
        match object.count.load(Ordering::Relaxed) {
            IMMORTAL | 1..GONE => object,
            _ => misuse!("an object is used that is gone"),
        }
    }

    pub fn value<'a>(self) -> &'a Value {
        self.get().value()
    }

    /// One more reference to it.
    pub fn retained(self) -> Ref {
        self.get().retain();
        Ref(NonNull::from(self.get()))
    }

    /// One that the library itself keeps during the call.
    pub fn of(object: &Ref) -> Self {
        Self(object.lend())
    }

    /// The reference that one of the library's own functions has just returned to its caller, this library.
    pub fn owned(object: *mut Object) -> Ref {
        Self(object).take()
    }

    /// The reference that C gives away.
    fn take(self) -> Ref {
        let Some(object) = NonNull::new(self.0) else { misuse!("null is released") };
        Ref(object)
    }
}

/// `xpc_object_t xpc_retain(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_retain(object: Lent) -> *mut Object {
    object.retained().into_owned()
}

/// `void xpc_release(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_release(object: Lent) {
    drop(object.take());
}
