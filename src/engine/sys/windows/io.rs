//! Pipes, reading and writing, and waiting for many handles at once.

use std::io::IoSlice;
use std::os::windows::io::AsRawHandle;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::HANDLE;

use super::end::End;
use super::handle::Handle;
use super::object::{duplicate_of, wait_for_any};
use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::types::{Interest, Ready};

/// A pipe: the end to read from, the end to write to. Both block.
pub fn pipe() -> Result<(Handle, Handle)> {
    let (section, ends) = End::pair()?;
    let other = duplicate_of(&section)?;
    let [reader, writer] = ends;
    Ok((Handle::end(section, reader), Handle::end(other, writer)))
}

fn end(handle: &Handle) -> Result<&End> {
    handle.end.as_ref().ok_or(Error::INVALID)
}

pub fn set_nonblocking(handle: &Handle) -> Result<()> {
    attempt(Call::Control, || end(handle)).map(End::set_nonblocking)
}

/// Reads once what is there and appends it to `buffer`, up to its spare capacity.
pub fn read(handle: &Handle, buffer: &mut Vec<u8>) -> Result<usize> {
    attempt(Call::Read, || end(handle)?.read(buffer))
}

/// Writes once, as much as the other side takes.
pub fn write(handle: &Handle, slices: &[IoSlice<'_>]) -> Result<usize> {
    attempt(Call::Write, || end(handle)?.write(slices))
}

/// What to wait for, and whether that has happened already: this is known only of an end of a pipe.
fn look(interest: Interest<'_>) -> Result<(HANDLE, Ready)> {
    match interest {
        Interest::Readable(Handle { object, end: None }) => Ok((object.as_raw_handle(), Ready::No)),
        Interest::Readable(handle) | Interest::Writable(handle) => {
            let end = end(handle)?;
            let ready = match end.prepare_to_wait() {
                (event, false) => (event, Ready::No),
                (event, true) if end.is_broken() => (event, Ready::Broken),
                (event, true) => (event, Ready::Yes),
            };
            Ok(ready)
        }
        Interest::HangUp(handle) => Ok((end(handle)?.hung_up(), Ready::No)),
    }
}

/// Whether a handle that is signaled says by that alone that what is waited for has happened.
fn is_plain(interest: Interest<'_>) -> bool {
    match interest {
        Interest::Readable(handle) => handle.end.is_none(),
        Interest::HangUp(_) => true,
        Interest::Writable(_) => false,
    }
}

/// Waits until something is ready or `timeout` is over, and returns what is. Blocks.
pub fn poll<const N: usize>(
    interests: [Option<Interest<'_>>; N],
    timeout: Option<Duration>,
) -> Result<[Ready; N]> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    attempt(Call::Poll, || poll_until(interests, deadline))
}

fn poll_until<const N: usize>(
    interests: [Option<Interest<'_>>; N],
    deadline: Option<Instant>,
) -> Result<[Ready; N]> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let (found, is_woken) = poll_once(interests, left)?;
        let is_late = left.is_some_and(|left| left.is_zero());
        if found.into_iter().any(Ready::is_ready) || (is_late && !is_woken) {
            return Ok(found);
        }
    }
}

/// Returns also whether the wait has ended before the time was over.
fn poll_once<const N: usize>(
    interests: [Option<Interest<'_>>; N],
    left: Option<Duration>,
) -> Result<([Ready; N], bool)> {
    let mut found = [Ready::No; N];
    let mut handles = Vec::with_capacity(N);
    let mut places = Vec::with_capacity(N);
    for (place, interest) in interests.into_iter().enumerate() {
        if let Some(interest) = interest {
            let (handle, ready) = look(interest)?;
            found[place] = ready;
            handles.push(handle);
            places.push((place, is_plain(interest)));
        }
    }
    let is_ready = found.into_iter().any(Ready::is_ready);
    let left = if is_ready { Some(Duration::ZERO) } else { left };
    let Some(first) = wait_for_any(&handles, left)? else {
        return Ok((found, false));
    };
    // Those before the first are not signaled; those after it may be.
    for (at, (place, is_plain)) in places.into_iter().enumerate().skip(first) {
        if is_plain
            && (at == first || wait_for_any(&handles[at..=at], Some(Duration::ZERO))?.is_some())
        {
            found[place] = Ready::Yes;
        }
    }
    Ok((found, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::{Command, Stdio};

    use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};

    use crate::engine::ring::Side;
    use crate::engine::sys::windows::handle::{duplicate, hand_over, take_over};

    #[test]
    fn what_is_ready_is_found_and_what_is_not_is_waited_for() {
        use Ready::{No, Yes};

        let (read_end, write_end) = pipe().expect("memory");
        set_nonblocking(&write_end).expect("a pipe");
        let look = |timeout| {
            let interests = [
                Some(Interest::Readable(&read_end)),
                Some(Interest::Writable(&write_end)),
                None,
                Some(Interest::HangUp(&read_end)),
            ];
            poll(interests, timeout).expect("poll")
        };
        assert_eq!(look(None), [No, Yes, No, No]);
        let bytes = [0; 1000];
        let mut written = 0;
        while let Ok(more) = write(&write_end, &[IoSlice::new(&bytes)]) {
            written += more;
        }
        assert_eq!(look(None), [Yes, No, No, No]);
        let mut buffer = Vec::with_capacity(2 * written);
        assert_eq!(read(&read_end, &mut buffer), Ok(written));
        assert_eq!(look(Some(Duration::ZERO)), [No, Yes, No, No]);
        let none = [Some(Interest::Readable(&read_end))];
        assert_eq!(poll(none, Some(Duration::from_millis(1))), Ok([No]));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| poll(none, None));
            write(&write_end, &[IoSlice::new(b"x")]).expect("room");
            assert_eq!(waits.join().expect("no panic"), Ok([Yes]));
        });
    }

    #[test]
    fn each_side_learns_that_the_other_is_gone() {
        let (read_end, write_end) = pipe().expect("memory");
        let other = duplicate(&write_end).expect("a handle");
        drop(write_end);
        let hung_up = [Some(Interest::HangUp(&read_end))];
        assert_eq!(poll(hung_up, Some(Duration::ZERO)), Ok([Ready::No]));
        drop(other);
        assert_eq!(poll(hung_up, None), Ok([Ready::Yes]));
        assert_eq!(read(&read_end, &mut Vec::with_capacity(9)), Ok(0));

        let (read_end, write_end) = pipe().expect("memory");
        drop(read_end);
        let room = [Some(Interest::Writable(&write_end))];
        assert_eq!(poll(room, None), Ok([Ready::Broken]));
        assert_eq!(
            write(&write_end, &[IoSlice::new(b"x")]),
            Err(Error::BROKEN_PIPE)
        );
    }

    /// In the child of the next test: sends back what it reads, until the writer is gone.
    fn echo(numbers: &str) {
        let mut numbers = numbers
            .split(' ')
            .map(|number| number.parse().expect("a number"));
        let mut end = |side| take_over(&mut numbers, Some(side)).expect("inherited");
        let (request, answer) = (end(Side::Reader), end(Side::Writer));
        let mut bytes = Vec::with_capacity(64);
        while read(&request, &mut bytes).expect("open") > 0 {
            write(&answer, &[IoSlice::new(&bytes)]).expect("open");
            bytes.clear();
        }
    }

    #[test]
    fn a_child_takes_over_the_ends_of_pipes() {
        const NUMBERS: &str = "TEST_OF_NUMBERS_TO_TAKE_OVER";
        if let Ok(numbers) = std::env::var(NUMBERS) {
            return echo(&numbers);
        }
        let (request_read, request_write) = pipe().expect("memory");
        let (answer_read, answer_write) = pipe().expect("memory");
        let given = [&request_read, &answer_write].map(hand_over).concat();
        for number in &given {
            let object = std::ptr::without_provenance_mut(number.cast_unsigned());
            // SAFETY: it is the number of an open handle, of which a flag is set.
            #[expect(unsafe_code)]
            let set =
                unsafe { SetHandleInformation(object, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) };
            assert_ne!(set, 0);
        }
        let numbers: Vec<_> = given.iter().map(ToString::to_string).collect();
        let name = "engine::sys::windows::io::tests::a_child_takes_over_the_ends_of_pipes";
        let mut child = Command::new(std::env::current_exe().expect("known"))
            .args(["--exact", name])
            .env(NUMBERS, numbers.join(" "))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("a program");
        drop((request_read, answer_write));
        let mut bytes = Vec::with_capacity(64);
        for text in [&b"one"[..], b"two"] {
            write(&request_write, &[IoSlice::new(text)]).expect("open");
            bytes.clear();
            read(&answer_read, &mut bytes).expect("open");
            assert_eq!(bytes, text);
        }
        drop(request_write);
        assert!(child.wait().expect("a child").success());
    }
}
