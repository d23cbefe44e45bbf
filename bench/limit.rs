//! The physical limit of a round trip, without Python: `rust-pipe threads|processes N`.
//!
//! Makes N round trips of 8 bytes over two pipes, one in flight, and prints the nanoseconds that
//! they took together. The far end does the work of `work.py`: the answer is the message plus the
//! number of messages so far. Nothing but the standard library may be used.

use std::env;
use std::error::Error;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// As many as `workloads.BURST`.
const WARM_UPS: u64 = 20;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let nanoseconds = match words[..] {
        ["threads", count] => between_threads(count.parse()?)?,
        ["processes", count] => between_processes(count.parse()?)?,
        ["echo"] => return answer_all(std::io::stdin().lock(), raw_stdout()?),
        _ => return Err("usage: rust-pipe threads|processes N".into()),
    };
    writeln!(std::io::stdout(), "{nanoseconds}")?;
    Ok(())
}

fn between_threads(count: u64) -> Outcome<u128> {
    let (their_reader, writer) = pipe()?;
    let (reader, their_writer) = pipe()?;
    let far_end = thread::spawn(move || answer_all(their_reader, their_writer));
    let nanoseconds = ask_all(reader, writer, count)?;
    far_end.join().map_err(|_| "the far end panicked")??;
    Ok(nanoseconds)
}

fn between_processes(count: u64) -> Outcome<u128> {
    let (their_reader, writer) = pipe()?;
    let (reader, their_writer) = pipe()?;
    let mut far_end = Command::new(env::current_exe()?)
        .arg("echo")
        .stdin(Stdio::from(their_reader))
        .stdout(Stdio::from(their_writer))
        .spawn()?;
    let nanoseconds = ask_all(reader, writer, count)?;
    if !far_end.wait()?.success() {
        return Err("the far end failed".into());
    }
    Ok(nanoseconds)
}

/// Takes both ends, so that the far end meets the end of its input when this returns.
fn ask_all(mut reader: PipeReader, mut writer: PipeWriter, count: u64) -> Outcome<u128> {
    let mut handled = 0;
    ask(&mut reader, &mut writer, WARM_UPS, &mut handled)?;
    let start = Instant::now();
    ask(&mut reader, &mut writer, count, &mut handled)?;
    Ok(start.elapsed().as_nanos())
}

fn ask(
    reader: &mut PipeReader,
    writer: &mut PipeWriter,
    count: u64,
    handled: &mut u64,
) -> Outcome<()> {
    let mut frame = [0; 8];
    for message in 0..count {
        writer.write_all(&message.to_le_bytes())?;
        reader.read_exact(&mut frame)?;
        *handled += 1;
        if u64::from_le_bytes(frame) != message + *handled {
            return Err(format!("message {message} was answered wrongly").into());
        }
    }
    Ok(())
}

fn answer_all(mut reader: impl Read, mut writer: impl Write) -> Outcome<()> {
    let (mut frame, mut handled) = ([0; 8], 0);
    loop {
        match reader.read_exact(&mut frame) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        handled += 1;
        writer.write_all(&(u64::from_le_bytes(frame) + handled).to_le_bytes())?;
    }
}

/// Standard output without the line buffer that `stdout()` puts before it.
fn raw_stdout() -> Outcome<std::fs::File> {
    use std::os::fd::AsFd;
    Ok(std::io::stdout().as_fd().try_clone_to_owned()?.into())
}
