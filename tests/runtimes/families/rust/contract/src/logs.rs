use openruntimes::{Context, Response};
use serde_json::json;
use std::thread::{sleep, spawn};
use std::time::Duration;

pub fn answer(path: &str, context: &Context) -> Option<Response> {
    match path {
        "/log-values" => {
            context.log("text");
            context.log(1);
            context.log(json!([1, {"a": "b"}]));
            context.log(true);
            context.error("broken".to_string());
            context.error(json!({"code": 5}));
            context.log("");
        }
        "/log-order" => {
            for number in 0..100 {
                context.log(format!("log {}", number));
                context.error_multiple(vec!["error".to_string(), number.to_string()]);
            }
        }
        "/log-native" => {
            context.log("before");
            println!("printed 1");
            print!("printed 2");
            context.log("after");
        }
        "/native-raise" => {
            println!("printed");
            panic!("went wrong");
        }
        "/log-long" => {
            context.log("x".repeat(8000));
            context.log("y".repeat(8001));
        }
        "/log-flood" => {
            for _ in 0..1400 {
                context.log("z".repeat(8000));
            }
        }
        "/log-endless" => loop {
            context.log("z".repeat(8000));
        },
        "/log-late" => {
            let later = context.clone();
            spawn(move || {
                sleep(Duration::from_millis(20));
                later.log("late");
            });
        }
        _ => return None,
    }
    Some(context.res.empty())
}
