use openruntimes::{Context, Response};
use serde_json::json;
use std::fs::File;
use std::hint::spin_loop;
use std::io::Write;
use std::os::unix::io::FromRawFd;
use std::ptr::read_volatile;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MIB: usize = 1024 * 1024;

static CALLS: AtomicU64 = AtomicU64::new(0);
static MARK: Mutex<String> = Mutex::new(String::new());

/// Returns a text that is made once for a process.
fn mark() -> String {
    let mut mark = MARK.lock().unwrap();
    if mark.is_empty() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        *mark = now.as_nanos().to_string();
    }
    mark.clone()
}

/// Reads a value in a way that the compiler cannot leave out.
fn touch<T: Copy>(value: &T) -> T {
    unsafe { read_volatile(value) }
}

#[allow(unconditional_recursion)]
fn overflow(depth: u64) -> u64 {
    let kept = depth;
    overflow(depth + 1) + touch(&kept)
}

fn number(context: &Context) -> f64 {
    context.req.query_string.parse().unwrap_or(0.0)
}

pub fn answer(path: &str, context: &Context) -> Option<Response> {
    let res = &context.res;
    Some(match path {
        "/state" => {
            let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
            res.json(json!({"calls": calls, "worker": mark()}), None, None)
        }
        "/exit" => {
            context.log("called");
            let mut errors = unsafe { File::from_raw_fd(2) };
            errors.write_all(b"last words\n").unwrap();
            std::process::exit(7)
        }
        "/overflow" => res.text(overflow(1).to_string(), None, None),
        "/memory" => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1u8; MIB]);
                touch(&kept[kept.len() - 1][0]);
            }
        }
        "/sleep" => {
            context.log("begun");
            sleep(Duration::from_secs_f64(number(context)));
            res.text(mark(), None, None)
        }
        "/never" => {
            context.log("begun");
            loop {
                std::thread::park();
            }
        }
        "/spin" => {
            context.log("begun");
            loop {
                spin_loop();
            }
        }
        "/echo" => {
            let body = context.req.body_text();
            context.log_multiple(vec!["first".to_string(), body.clone()]);
            context.error(format!("error {}", body));
            sleep(Duration::from_secs_f64(number(context) / 1000.0));
            context.log(format!("second {}", body));
            res.text(body, None, None)
        }
        _ => return None,
    })
}
