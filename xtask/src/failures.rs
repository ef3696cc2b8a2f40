//! Which tests failed, read from cargo's output, and the commands that repeat just them.

/// Failed tests, in the order of the output.
#[derive(Debug, Default)]
pub struct Failures {
    /// Of the test binary whose output is being read.
    current: Vec<String>,
    done: Vec<Binary>,
}

#[derive(Debug)]
struct Binary {
    /// The arguments that make cargo run it: `-p xtask --test prebuilt`.
    arguments: String,
    tests: Vec<String>,
}

impl Failures {
    /// Takes one line of the output of `cargo test`, both streams in their order.
    pub fn read(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.current.push(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("error: test failed, to rerun pass `") {
            let arguments = rest.trim_end().trim_end_matches('`').to_owned();
            self.done.push(Binary { arguments, tests: std::mem::take(&mut self.current) });
        }
    }

    /// Names of the failed tests.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.done.iter().flat_map(|binary| &binary.tests).chain(&self.current).map(String::as_str)
    }

    /// One command for each test binary that failed. `prefix` changes to the folder of its workspace, if there is need.
    pub fn commands(&self, prefix: &str) -> Vec<String> {
        let command = |Binary { arguments, tests }: &Binary| {
            // A documentation test's name has spaces in it, and a binary that crashed names no test.
            if tests.is_empty() || arguments.contains("--doc") {
                format!("{prefix}cargo test {arguments}")
            } else {
                format!("{prefix}cargo test {arguments} -- --exact {}", tests.join(" "))
            }
        };
        self.done.iter().map(command).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_test_is_repeated_by_its_name() {
        let mut failures = Failures::default();
        for line in [
            "test fine ... ok",
            "test inner::broken ... FAILED",
            "test other ... FAILED",
            "error: test failed, to rerun pass `-p herald --test integration`",
            "test odd ... FAILED",
            "error: test failed, to rerun pass `-p xtask --lib`",
            "error: test failed, to rerun pass `-p herald --doc`",
        ] {
            failures.read(line);
        }
        assert_eq!(failures.names().collect::<Vec<_>>(), ["inner::broken", "other", "odd"]);
        assert_eq!(
            failures.commands("cd adapters && "),
            [
                "cd adapters && cargo test -p herald --test integration -- --exact inner::broken other",
                "cd adapters && cargo test -p xtask --lib -- --exact odd",
                "cd adapters && cargo test -p herald --doc",
            ]
        );
    }
}
