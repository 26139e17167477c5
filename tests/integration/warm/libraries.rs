//! Libraries that start threads: numpy's `OpenBLAS` is kept from it, and the log names the others.

use anyhow::{Result, ensure};

use crate::harness::command::{CGI, Test, bridge, run};
use crate::harness::stage::Stage;
use crate::warm::command::Warm;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("W5: an application with numpy is warm, and has the variables of a normal start", numpy),
    (
        "W5: a number of threads that the operator sets for OpenBLAS is kept, and the log names the library",
        set,
    ),
];

const APPLICATION: &str = "{applications}/numerics.py";

/// All but the last digits of floating-point numbers: one thread may add in another order than two.
fn facts(body: &str) -> String {
    let digits = |number: &str| match number.parse::<f64>() {
        Ok(float) if number.contains('.') => format!("{float:.6}"),
        _ => number.to_owned(),
    };
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.' || letter == '-';
    let mut text = String::new();
    let mut number = String::new();
    for letter in body.chars() {
        if is_number(letter) {
            number.push(letter);
        } else {
            text += &digits(&std::mem::take(&mut number));
            text.push(letter);
        }
    }
    text + &digits(&number)
}

fn numpy(stage: &Stage) -> Result<()> {
    for variables in [&[][..], &[("MKL_NUM_THREADS", "3"), ("OPENBLAS_NUM_THREADS", "1")]] {
        let warm = Warm::new(stage, &format!("l-numpy{}", variables.len()))?;
        let mut cold = bridge(stage, &[APPLICATION], &CGI);
        cold.envs(variables.iter().copied());
        let (status, cold) = run(stage, cold)?.ends(0)?.response()?;
        ensure!(status == 200, "{status} {cold}");
        for round in 0..3 {
            let mut request = warm.request(APPLICATION);
            request.envs(variables.iter().copied());
            let output = run(stage, request)?;
            let (status, body) = output.ends(0)?.response()?;
            ensure!(status == 200 && output.stderr.is_empty(), "{round}: {body} {}", output.stderr);
            ensure!(facts(&body) == facts(&cold), "{round}: cold {cold}\nwarm {body}");
        }
        let row = warm.row_when("three requests", |row| row.requests == 3)?;
        ensure!(row.remarks.is_empty() && row.restarts == 0, "{row:?}");
    }
    Ok(())
}

fn set(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "l-set")?;
    let ask = || -> Result<String> {
        let mut request = warm.request(APPLICATION);
        request.env("OMP_NUM_THREADS", "2");
        let output = run(stage, request)?;
        let (status, body) = output.ends(0)?.response()?;
        ensure!(status == 200, "{status} {body}: {}", output.stderr);
        Ok(output.stderr)
    };
    let said = ask()?;
    // On one core OpenBLAS starts no thread, whatever its settings are.
    if std::thread::available_parallelism()?.get() > 1 {
        ensure!(said.contains("has started 1 thread(s) while it was imported (1 of lib"), "{said}");
        ensure!(said.contains("openblas") && said.contains("set OPENBLAS_NUM_THREADS=1"), "{said}");
    } else {
        ensure!(said.is_empty(), "{said}");
    }
    ensure!(ask()?.is_empty(), "the message came twice");
    Ok(())
}
