//! The system calls that the engine makes, and the only file that may hold `unsafe`.
//!
//! Every descriptor made here is close-on-exec. Each call goes through [`attempt`], where tests
//! make it fail.

use rustix::buffer::Buffer;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::Pid;
pub use rustix::process::Signal;
use std::io::IoSlice;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
#[cfg(target_os = "linux")]
use {
    rustix::fd::AsRawFd,
    rustix::pipe::PipeFlags,
    rustix::thread::futex,
    std::sync::OnceLock,
    std::sync::atomic::{AtomicU32, Ordering},
};

/// What `faults` tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Makes a descriptor.
    Open,
    /// Changes or asks something of a descriptor.
    Control,
    Map,
    /// Finds memory for a part of a file.
    Reserve,
    /// Of a blocking descriptor, or of one that `poll` says is readable.
    Read,
    /// Of either kind of descriptor; the reader may have gone.
    Write,
    /// To a pipe of which both ends are ours.
    Ring,
    Poll,
    /// Waits for a word in memory.
    Sleep,
    Spawn,
    Signal,
}

#[cfg(any(test, feature = "faults"))]
impl Call {
    /// What it can fail with that says nothing of a fault of ours.
    pub fn errors(self) -> &'static [Errno] {
        match self {
            Self::Open => &[Errno::MFILE, Errno::NOMEM],
            Self::Control | Self::Map => &[Errno::NOMEM],
            Self::Reserve => &[Errno::INTR, Errno::NOMEM, Errno::NOSPC],
            Self::Read | Self::Ring | Self::Poll => &[Errno::INTR, Errno::AGAIN, Errno::NOMEM],
            Self::Write => &[Errno::INTR, Errno::AGAIN, Errno::PIPE, Errno::NOMEM],
            Self::Sleep => &[Errno::INTR, Errno::AGAIN],
            Self::Spawn | Self::Signal => &[Errno::AGAIN],
        }
    }
}

/// Makes a system call, unless a test has it fail.
#[inline]
fn attempt<T>(call: Call, make: impl FnOnce() -> Result<T>) -> Result<T> {
    #[cfg(any(test, feature = "faults"))]
    if let Some(error) = super::faults::strike(call) {
        return Err(error);
    }
    _ = call;
    make()
}

/// A pipe: the end to read from, the end to write to. Both block.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    #[cfg(target_os = "linux")]
    return attempt(Call::Open, || rustix::pipe::pipe_with(PipeFlags::CLOEXEC));
    #[cfg(not(target_os = "linux"))]
    {
        let (read, write) = attempt(Call::Open, rustix::pipe::pipe)?;
        for end in [&read, &write] {
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        }
        Ok((read, write))
    }
}

pub fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    attempt(Call::Control, || rustix::io::ioctl_fionbio(fd, true))
}

/// Takes over a descriptor that this process was given by its parent, and keeps it from the
/// processes that this one starts.
pub fn inherited(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: the caller is the entry of a child, which was given this number to own; a number
    // that is not open is an error of the next line and is never closed.
    #[expect(unsafe_code)]
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    attempt(Call::Control, || {
        rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)
    })?;
    // SAFETY: it is open, as the line above has shown, and nobody else in this process owns it:
    // the entry runs once, first.
    #[expect(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Words of memory that this process shares with whoever maps the same descriptor; they start
/// as zeros.
#[derive(Debug)]
pub struct SharedWords {
    start: NonNull<AtomicU64>,
    len_words: usize,
}

// SAFETY: the mapping lives as long as the value, and atomics may be used from any thread.
#[expect(unsafe_code)]
unsafe impl Send for SharedWords {}
// SAFETY: as above.
#[expect(unsafe_code)]
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// New memory, and the descriptor by which another process can map it. It has no name that
    /// anybody could open.
    pub fn create(len_words: usize) -> Result<(Self, OwnedFd)> {
        let fd = anonymous_file()?;
        set_len(&fd, (len_words * size_of::<AtomicU64>()) as u64)?;
        Ok((Self::map(&fd, len_words)?, fd))
    }

    /// Maps the memory of a descriptor that `create` gave; its size is checked.
    pub fn map(fd: &OwnedFd, len_words: usize) -> Result<Self> {
        let len_bytes = len_words * size_of::<AtomicU64>();
        let size = attempt(Call::Control, || rustix::fs::fstat(fd))?.st_size;
        if u64::try_from(size).is_ok_and(|size| size < len_bytes as u64) {
            return Err(Errno::INVAL);
        }
        let start = attempt(Call::Map, || {
            // SAFETY: a new mapping at an address of the kernel's choice touches no other memory;
            // the file is large enough, as checked above, and nobody shrinks it.
            #[expect(unsafe_code)]
            unsafe {
                rustix::mm::mmap(
                    std::ptr::null_mut(),
                    len_bytes,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::SHARED,
                    fd,
                    0,
                )
            }
        })?;
        let start = NonNull::new(start.cast()).ok_or(Errno::INVAL)?;
        Ok(Self { start, len_words })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `map` made a mapping of this length, aligned to a page, which `drop` alone ends;
        // every bit pattern is a valid word, and both sides use it through atomics alone.
        #[expect(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr(), self.len_words)
        }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        let len_bytes = self.len_words * size_of::<AtomicU64>();
        // SAFETY: the mapping is ours, and borrows of it have ended with the value.
        #[expect(unsafe_code)]
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), len_bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

/// Bytes of a shared file, mapped.
///
/// Who may touch which of them when is the arena's to say: see `slots.rs`.
#[derive(Debug)]
pub struct SharedBytes {
    start: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: the mapping lives as long as the value; what is in it belongs to one block at a time.
#[expect(unsafe_code)]
unsafe impl Send for SharedBytes {}
// SAFETY: as above.
#[expect(unsafe_code)]
unsafe impl Sync for SharedBytes {}

impl SharedBytes {
    /// Maps a part of a file, which must be as large, and what memory it has.
    pub(super) fn map(fd: &OwnedFd, offset: u64, len_bytes: usize) -> Result<Self> {
        // What is there already is mapped in one go instead of page by page.
        #[cfg(target_os = "linux")]
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        #[cfg(not(target_os = "linux"))]
        let flags = MapFlags::SHARED;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        #[expect(unsafe_code)]
        let start = attempt(Call::Map, || unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len_bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
                fd,
                offset,
            )
        })?;
        let start = NonNull::new(start.cast()).ok_or(Errno::INVAL)?;
        Ok(Self { start, len_bytes })
    }

    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Copies `source` to the start.
    pub(super) fn fill(&self, source: &[u8]) {
        assert!(source.len() <= self.len_bytes);
        // SAFETY: both have that many bytes, as checked. They do not overlap: a block that is
        // filled is new, so nobody has a view of it.
        #[expect(unsafe_code)]
        unsafe {
            std::ptr::copy_nonoverlapping(source.as_ptr(), self.start.as_ptr(), source.len());
        }
    }

    pub(super) fn slice(&self, at: usize, len_bytes: usize) -> &[u8] {
        assert!(at <= self.len_bytes && len_bytes <= self.len_bytes - at);
        // SAFETY: inside the mapping, as checked, whose every bit pattern is valid. Who has the
        // block is the only one to write to it, and does not while it reads.
        #[expect(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr().add(at), len_bytes)
        }
    }
}

impl SharedBytes {
    /// Makes what is in it now this process's own: from here on it is shared with nobody. For a
    /// process that `fork` has just made, which has one thread and no block of its own.
    pub(super) fn make_private(&self) -> Result<()> {
        let anonymous = |address: *mut std::ffi::c_void, flags| {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: at an address of the kernel's choice it touches no other memory; at ours it
            // takes the place of our own mapping, page by page, and nobody else looks.
            #[expect(unsafe_code)]
            unsafe {
                rustix::mm::mmap_anonymous(address, self.len_bytes, protection, flags)
            }
        };
        let copy = Self {
            start: NonNull::new(anonymous(std::ptr::null_mut(), MapFlags::PRIVATE)?.cast())
                .ok_or(Errno::INVAL)?,
            len_bytes: self.len_bytes,
        };
        copy.fill(self.slice(0, self.len_bytes));
        anonymous(
            self.start.as_ptr().cast(),
            MapFlags::PRIVATE | MapFlags::FIXED,
        )?;
        self.fill(copy.slice(0, self.len_bytes));
        Ok(())
    }
}

impl Drop for SharedBytes {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and borrows of it have ended with the value.
        #[expect(unsafe_code)]
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len_bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

/// How long a file is.
pub(super) fn len_of(fd: &OwnedFd) -> Result<u64> {
    let file = attempt(Call::Control, || rustix::fs::fstat(fd))?;
    Ok(file.st_size.unsigned_abs())
}

/// Gives a part of a shared file its memory, so that touching it cannot fail for want of that.
pub(super) fn reserve(fd: &OwnedFd, offset: u64, len_bytes: u64) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::FallocateFlags::empty();
        let reserve = || rustix::fs::fallocate(fd, flags, offset, len_bytes);
        retry(|| attempt(Call::Reserve, reserve))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (fd, offset, len_bytes);
    Ok(())
}

/// Gives the memory of a part of a shared file back to the system.
pub(super) fn give_back(fd: &OwnedFd, offset: u64, len_bytes: u64) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let give = || rustix::fs::fallocate(fd, flags, offset, len_bytes);
        retry(|| attempt(Call::Control, give))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (fd, offset, len_bytes);
    Ok(())
}

/// How much memory could be had without driving others out, where the system tells: on this
/// machine, and in this process's control group if that has a limit.
pub(super) fn available_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let meminfo = read("/proc/meminfo")?;
    let line = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let machine = line.split_whitespace().next()?.parse::<u64>().ok()? * 1024;
    let limit = number("/sys/fs/cgroup/memory.max");
    let group = limit.and_then(|limit| {
        let used = number("/sys/fs/cgroup/memory.current")?;
        Some(limit.saturating_sub(used))
    });
    Some(group.map_or(machine, |group| group.min(machine)))
}

/// The id of this process, also in one that `fork` has made.
pub(super) fn process_id() -> u32 {
    rustix::process::getpid().as_raw_pid().unsigned_abs()
}

#[cfg(target_os = "linux")]
fn anonymous_file() -> Result<OwnedFd> {
    attempt(Call::Open, || {
        rustix::fs::memfd_create("futures_actors", rustix::fs::MemfdFlags::CLOEXEC)
    })
}

#[cfg(not(target_os = "linux"))]
fn anonymous_file() -> Result<OwnedFd> {
    use rustix::fs::Mode;
    use rustix::shm::{self, OFlags};
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("/futures_actors.{}.{count}", std::process::id());
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let fd = shm::open(&name, flags, Mode::RUSR | Mode::WUSR)?;
    shm::unlink(&name)?;
    Ok(fd)
}

/// Rings across threads through a descriptor, so that a thread in `poll` hears it.
#[derive(Debug)]
pub struct Bell {
    read: OwnedFd,
    write: OwnedFd,
}

impl Bell {
    pub fn new() -> Result<Self> {
        let (read, write) = pipe()?;
        set_nonblocking(&read)?;
        set_nonblocking(&write)?;
        Ok(Self { read, write })
    }

    pub fn ring(&self) -> Result<()> {
        // A ring that is lost may be a thread that sleeps for ever.
        const TRIES: u32 = 1000;
        let mut rung = Ok(1);
        for _ in 0..TRIES {
            rung = retry(|| attempt(Call::Ring, || rustix::io::write(&self.write, &[1])));
            if rung != Err(Errno::NOMEM) {
                break;
            }
            std::thread::yield_now();
        }
        match rung {
            // Full: it has been rung and not heard yet.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes back every ring so far.
    pub fn quiet(&self) -> Result<()> {
        let mut rings = [0; 64];
        loop {
            match retry(|| read(&self.read, &mut rings[..])) {
                Ok(64) => {}
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// A descriptor that becomes readable when the process `pid` has ended, where the system has such.
pub fn watch_process(pid: i32) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        let pid = Pid::from_raw(pid)?;
        attempt(Call::Open, || {
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        })
        .ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        _ = pid;
        None
    }
}

/// Sends a signal to a process; nothing if it has ended. `watch` is what `watch_process` gave for
/// it; without one, `pid` must not have been reaped.
pub fn signal_process(watch: Option<&OwnedFd>, pid: i32, signal: Signal) -> Result<()> {
    let sent = attempt(Call::Signal, || match (watch, Pid::from_raw(pid)) {
        #[cfg(target_os = "linux")]
        (Some(watch), _) => rustix::process::pidfd_send_signal(watch, signal),
        (_, Some(pid)) => rustix::process::kill_process(pid, signal),
        (_, None) => Err(Errno::SRCH),
    });
    match sent {
        Err(Errno::SRCH) => Ok(()),
        sent => sent,
    }
}

/// Nanoseconds on a clock that every process reads alike.
pub fn now_nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// Whether Python's signal handlers may run on this thread. Where that cannot be told, yes.
pub fn is_main_thread() -> bool {
    thread_local! {
        // Two system calls, once a thread. A thread that forks becomes its process's main one and
        // is still taken for what it was, which costs it the second look alone.
        static IS_MAIN: bool = ask_is_main();
    }
    IS_MAIN.with(|is_main| *is_main)
}

fn ask_is_main() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid() == rustix::process::getpid();
    #[cfg(not(target_os = "linux"))]
    return true;
}

/// Copies the pages that a fork has left shared with the process that forked, as writing to each
/// would: all at once is several times as fast as one by one when they are needed. Larger mappings
/// than an interpreter has of itself are left alone: they are worth sharing, or a thread's stack.
pub fn unshare_pages() {
    #[cfg(target_os = "linux")]
    for mapping in std::fs::read_to_string("/proc/self/maps")
        .unwrap_or_default()
        .lines()
        .filter_map(writable_mapping)
        .filter(|mapping| mapping.len() <= 4 << 20)
    {
        let populated = attempt(Call::Map, || {
            // SAFETY: populating changes no content, and the kernel checks the range.
            #[expect(unsafe_code)]
            unsafe {
                rustix::mm::madvise(
                    std::ptr::without_provenance_mut(mapping.start),
                    mapping.len(),
                    rustix::mm::Advice::LinuxPopulateWrite,
                )
            }
        });
        // Best effort: an older kernel does not know the advice.
        _ = populated;
    }
}

/// The addresses of a line of `/proc/self/maps`, if it is of private memory that can be written.
#[cfg(target_os = "linux")]
fn writable_mapping(line: &str) -> Option<std::ops::Range<usize>> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let address = |word| usize::from_str_radix(word, 16).ok();
    (words.next()? == "rw-p").then_some(address(start)?..address(end)?)
}

/// Ends this process at once, whatever its other threads do.
pub fn end_now() {
    // It cannot fail for the process itself, and there is nobody left to tell.
    _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
}

/// The signal that asks a child for its traceback: one that no library is known to use.
#[cfg(target_os = "linux")]
pub fn trace_signal() -> i32 {
    libc::SIGRTMAX() - 3
}

/// Sends it to a process of one's own, by its descriptor.
#[cfg(target_os = "linux")]
pub fn ask_for_trace(process: BorrowedFd<'_>) -> Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    attempt(Call::Signal, || {
        // SAFETY: the descriptor is open, and the call only reads its arguments.
        #[expect(unsafe_code)]
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                process.as_raw_fd(),
                trace_signal(),
                no_info,
                0,
            )
        };
        if sent == 0 { Ok(()) } else { Err(last_error()) }
    })
}

#[cfg(target_os = "linux")]
fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// What the handler of the trace signal calls, and where it counts.
#[cfg(target_os = "linux")]
static TRACING: OnceLock<(extern "C" fn(i32), &'static AtomicU64)> = OnceLock::new();

/// Calls the handler that was there, and counts. It runs at any moment on any thread, so it does
/// nothing that is not safe in a signal's handler.
#[cfg(target_os = "linux")]
extern "C" fn trace(signal: i32) {
    if let Some((write, count)) = TRACING.get() {
        write(signal);
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Has `count` go up by one after each run of the handler that the trace signal has. Once.
#[cfg(target_os = "linux")]
pub fn count_traces(count: &'static AtomicU64) -> Result<()> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    attempt(Call::Control, || {
        // SAFETY: it writes the action that is in force to where it is told.
        #[expect(unsafe_code)]
        let got = unsafe { libc::sigaction(trace_signal(), std::ptr::null(), action.as_mut_ptr()) };
        if got == 0 { Ok(()) } else { Err(last_error()) }
    })?;
    // SAFETY: the call above has written it.
    #[expect(unsafe_code)]
    let mut action = unsafe { action.assume_init() };
    let plain = action.sa_flags & libc::SA_SIGINFO == 0;
    if !plain || [libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction) {
        return Err(Errno::INVAL);
    }
    // SAFETY: without SA_SIGINFO, and neither of the two constants, it is a handler's address.
    #[expect(unsafe_code)]
    let write = unsafe { std::mem::transmute::<usize, extern "C" fn(i32)>(action.sa_sigaction) };
    TRACING.set((write, count)).map_err(|_| Errno::ALREADY)?;
    action.sa_sigaction = trace as extern "C" fn(i32) as usize;
    attempt(Call::Control, || {
        // SAFETY: the handler is of the kind that the flags say, and does only what one may do.
        #[expect(unsafe_code)]
        let set =
            unsafe { libc::sigaction(trace_signal(), &raw const action, std::ptr::null_mut()) };
        if set == 0 { Ok(()) } else { Err(last_error()) }
    })
}

#[cfg(not(target_os = "linux"))]
pub fn ask_for_trace(_process: BorrowedFd<'_>) -> Result<()> {
    Err(Errno::NOSYS)
}

#[cfg(not(target_os = "linux"))]
pub fn count_traces(_count: &'static AtomicU64) -> Result<()> {
    Err(Errno::NOSYS)
}

/// Has every write to the file go to its end.
pub fn set_append(file: impl AsFd) -> Result<()> {
    let flags = attempt(Call::Control, || rustix::fs::fcntl_getfl(&file))?;
    let flags = flags | rustix::fs::OFlags::APPEND;
    attempt(Call::Control, || rustix::fs::fcntl_setfl(&file, flags))
}

/// Cuts the file, or lengthens it by zeros.
pub fn set_len(file: impl AsFd, len_bytes: u64) -> Result<()> {
    retry(|| attempt(Call::Control, || rustix::fs::ftruncate(&file, len_bytes)))
}

/// What a file holds from `at` to its end.
pub fn read_from(file: BorrowedFd<'_>, mut at: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = || attempt(Call::Read, || rustix::io::pread(file, &mut buffer[..], at));
        match retry(read)? {
            0 => return Ok(bytes),
            read => {
                bytes.extend_from_slice(&buffer[..read]);
                at += read as u64;
            }
        }
    }
}

/// What to wait for on a descriptor.
#[derive(Clone, Copy)]
pub struct Interest<'a> {
    pub fd: BorrowedFd<'a>,
    pub flags: PollFlags,
}

/// Waits until something is ready or `timeout` is over, and returns what is: one set of flags per
/// interest. Blocks; a signal ends it with `Errno::INTR`.
pub fn poll<const N: usize>(
    interests: [Option<Interest<'_>>; N],
    timeout: Option<Duration>,
) -> Result<[PollFlags; N]> {
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(N);
    for interest in interests.iter().flatten() {
        fds.push(PollFd::from_borrowed_fd(interest.fd, interest.flags));
    }
    let timeout: Option<Timespec> = timeout.and_then(|timeout| timeout.try_into().ok());
    attempt(Call::Poll, || {
        rustix::event::poll(&mut fds, timeout.as_ref())
    })?;
    let mut ready = fds.into_iter().map(|fd| fd.revents());
    Ok(interests.map(|interest| {
        interest
            .and_then(|_| ready.next())
            .unwrap_or(PollFlags::empty())
    }))
}

/// One read of what is there into spare capacity, or a slice.
pub fn read<B: Buffer<u8>>(fd: impl AsFd, buffer: B) -> Result<B::Output> {
    attempt(Call::Read, || rustix::io::read(fd, buffer))
}

/// One write, of as much as the other side takes.
pub fn write(fd: impl AsFd, slices: &[IoSlice<'_>]) -> Result<usize> {
    attempt(Call::Write, || match slices {
        [one] => rustix::io::write(fd, one),
        many => rustix::io::writev(fd, many),
    })
}

/// Another descriptor of the same, close-on-exec too.
pub fn duplicate(fd: &OwnedFd) -> Result<OwnedFd> {
    attempt(Call::Open, || rustix::io::fcntl_dupfd_cloexec(fd, 0))
}

/// Sleeps until `word` is woken, if it has `value`; as long as `left` at most.
#[cfg(target_os = "linux")]
pub fn futex_wait(word: &AtomicU32, value: u32, left: Option<&Timespec>) -> Result<()> {
    attempt(Call::Sleep, || {
        futex::wait(word, futex::Flags::PRIVATE, value, left)
    })
}

/// Wakes everyone who sleeps on `word`. It can fail for a bad address alone, which none is.
#[cfg(target_os = "linux")]
pub fn futex_wake(word: &AtomicU32) {
    let woken = futex::wake(word, futex::Flags::PRIVATE, i32::MAX as u32);
    debug_assert!(woken.is_ok());
}

/// Starts a thread.
pub fn spawn<T: Send + 'static>(
    name: String,
    stack_bytes: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    attempt(Call::Spawn, || {
        let thread = Builder::new().name(name).stack_size(stack_bytes);
        let started = thread.spawn(run);
        started.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
    })
}

/// Repeats a call that a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_heard_once_however_often_it_rings() {
        let bell = Bell::new().expect("descriptors");
        for _ in 0..200_000 {
            bell.ring().expect("never blocks");
        }
        let hear = || {
            let interest = Interest {
                fd: bell.as_fd(),
                flags: PollFlags::IN,
            };
            let [ready] = poll([Some(interest)], Some(Duration::ZERO)).expect("poll");
            ready.contains(PollFlags::IN)
        };
        assert!(hear());
        bell.quiet().expect("readable");
        assert!(!hear());
    }

    #[test]
    fn words_are_shared_by_who_maps_the_same_descriptor() {
        let (here, fd) = SharedWords::create(512).expect("memory");
        let there = SharedWords::map(&fd, 512).expect("memory");
        assert_eq!(there[511].load(Ordering::SeqCst), 0);
        here[511].store(7, Ordering::SeqCst);
        assert_eq!(there[511].load(Ordering::SeqCst), 7);
        assert_eq!(SharedWords::map(&fd, 513).err(), Some(Errno::INVAL));
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_an_error() {
        assert!(inherited(987_654).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pages_are_there_once_unshared() {
        let resident_pages = || {
            let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
            let mut fields = statm.split(' ').map(str::parse::<usize>);
            fields.nth(1).expect("a field").expect("a number")
        };
        // A mapping of its own, of pages that nobody has touched.
        let memory = vec![0_u8; 2 << 20];
        let before = resident_pages();
        unshare_pages();
        // Other tests may give some back meanwhile.
        assert!(resident_pages() > before + 256);
        assert!(memory.iter().all(|byte| *byte == 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_private_memory_that_can_be_written_is_unshared() {
        let line = "7f00aa000000-7f00aa021000 rw-p 00000000 00:00 0 ";
        assert_eq!(
            writable_mapping(line),
            Some(0x7f00_aa00_0000..0x7f00_aa02_1000)
        );
        for permissions in ["rw-s", "r--p", "r-xp", "---p"] {
            assert_eq!(writable_mapping(&line.replace("rw-p", permissions)), None);
        }
        assert_eq!(writable_mapping(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_end_of_a_process_is_seen() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let pid = i32::try_from(child.id()).expect("a pid");
        let watch = watch_process(pid).expect("pidfd");
        let interest = Interest {
            fd: watch.as_fd(),
            flags: PollFlags::IN,
        };
        let [ready] = poll([Some(interest)], Some(Duration::from_secs(20))).expect("poll");
        assert!(ready.contains(PollFlags::IN));
        child.wait().expect("reaped");
    }
}
