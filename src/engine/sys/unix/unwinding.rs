//! Keeps a thread from being ended by unwinding its stack.
//!
//! `pthread_exit` of glibc unwinds the stack, which aborts the process when it comes to a frame of
//! Rust. So a thread can have glibc call a function first, before the first frame is gone. With other C
//! libraries `pthread_exit` unwinds nothing.

pub use native::sleep_when_unwound;

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod native {
    /// Nothing unwinds a stack here.
    pub fn sleep_when_unwound(_ends: fn() -> bool) {}
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod native {
    use std::cell::{OnceCell, UnsafeCell};
    use std::ffi::{c_int, c_void};

    type Routine = extern "C" fn(*mut c_void);

    /// glibc's `struct _pthread_cleanup_buffer`: an entry in the list of what a thread calls when it is
    /// ended.
    #[repr(C)]
    struct Cleanup {
        routine: Option<Routine>,
        arg: *mut c_void,
        cancel_type: c_int,
        before: *mut Cleanup,
    }

    #[expect(unsafe_code)]
    unsafe extern "C" {
        /// glibc calls `routine` when it unwinds the frame that `cleanup` is in. One that is on the heap
        /// counts as left with the first frame.
        fn _pthread_cleanup_push(cleanup: *mut Cleanup, routine: Routine, arg: *mut c_void);

        /// Takes `cleanup` out of the list, and calls its routine if `execute` is not 0.
        fn _pthread_cleanup_pop(cleanup: *mut Cleanup, execute: c_int);
    }

    /// An entry in the list of the thread that made it, which also drops it.
    struct Enlisted(Box<UnsafeCell<Cleanup>>);

    impl Drop for Enlisted {
        /// The thread ends, but what is destroyed after this may still call `pthread_exit`, which reads
        /// the list.
        fn drop(&mut self) {
            // SAFETY: it is in this thread's list. All frames are gone, and with them what was added
            // after it.
            #[expect(unsafe_code)]
            unsafe {
                _pthread_cleanup_pop(self.0.get(), 0);
            }
        }
    }

    thread_local! {
        static CLEANUP: OnceCell<Enlisted> = const { OnceCell::new() };
    }

    /// From now on this thread sleeps for ever instead of ending by `pthread_exit`, while `ends` says so
    /// then. Costs next to nothing if the thread has called it before. `ends` must not block.
    pub fn sleep_when_unwound(ends: fn() -> bool) {
        // A thread whose thread-local data is gone is about to end by returning.
        _ = CLEANUP.try_with(|cleanup| {
            cleanup.get_or_init(|| {
                let cleanup = Box::new(UnsafeCell::new(Cleanup {
                    routine: None,
                    arg: std::ptr::null_mut(),
                    cancel_type: 0,
                    before: std::ptr::null_mut(),
                }));
                enlist(cleanup, ends)
            });
        });
    }

    #[cold]
    fn enlist(cleanup: Box<UnsafeCell<Cleanup>>, ends: fn() -> bool) -> Enlisted {
        // SAFETY: it has the layout that glibc expects, and stays where it is until `Enlisted` takes it
        // out of the list.
        #[expect(unsafe_code)]
        unsafe {
            _pthread_cleanup_push(cleanup.get(), sleep, ends as *mut c_void);
        }
        Enlisted(cleanup)
    }

    extern "C" fn sleep(ends: *mut c_void) {
        // SAFETY: `enlist` has made it of a function of this type.
        #[expect(unsafe_code)]
        let ends = unsafe { std::mem::transmute::<*mut c_void, fn() -> bool>(ends) };
        while ends() {
            std::thread::park();
        }
    }
}
