//! What a pass comes to, and the median of several.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Of many waits, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Half of them were shorter.
    #[serde(rename = "p50_us")]
    pub p50: f64,
    /// All but a hundredth of them were.
    #[serde(rename = "p99_us")]
    pub p99: f64,
    /// The longest.
    #[serde(rename = "max_us")]
    pub max: f64,
}

/// A pass: so many seconds of events for one contestant. What is said in microseconds an event is processor time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pass {
    /// Events a second that were answered 2xx.
    pub accepted: f64,
    /// Events a second that arrived at the sink, until the last one had.
    pub delivered: f64,
    /// The contestant's, all of its processes.
    pub cpu_us: f64,
    /// Until the answer.
    pub accept: Times,
    /// From the post until the sink had it.
    pub receive: Times,
    /// The most memory so far, in MiB.
    pub peak_mib: f64,
    /// Memory after it, in MiB.
    pub resident_mib: f64,
    /// The generator's.
    pub generator_us: f64,
    /// The sink's.
    pub sink_us: f64,
    /// Connections that the sink was opened.
    pub connections: f64,
    /// What other programs took meanwhile, in percent of a core.
    pub others: f64,
    /// The contestant's threads, by their names.
    pub threads_us: BTreeMap<String, f64>,
}

impl Pass {
    /// Each figure's median by itself.
    pub fn median(passes: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(passes.iter().map(figure));
        let times = |times: fn(&Self) -> Times| Times {
            p50: median(passes.iter().map(|pass| times(pass).p50)),
            p99: median(passes.iter().map(|pass| times(pass).p99)),
            max: median(passes.iter().map(|pass| times(pass).max)),
        };
        let names = passes.iter().flat_map(|pass| pass.threads_us.keys().cloned());
        let used = |name: &String| median(passes.iter().map(|pass| pass.threads_us.get(name).copied().unwrap_or(0.0)));
        Self {
            accepted: of(|pass| pass.accepted),
            delivered: of(|pass| pass.delivered),
            cpu_us: of(|pass| pass.cpu_us),
            accept: times(|pass| pass.accept),
            receive: times(|pass| pass.receive),
            peak_mib: of(|pass| pass.peak_mib),
            resident_mib: of(|pass| pass.resident_mib),
            generator_us: of(|pass| pass.generator_us),
            sink_us: of(|pass| pass.sink_us),
            connections: of(|pass| pass.connections),
            others: of(|pass| pass.others),
            threads_us: names.map(|name| (name.clone(), used(&name))).collect(),
        }
    }
}

/// The middle one; of two in the middle the mean; nothing of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    let lower = values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default();
    f64::midpoint(lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        for (values, expected) in [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0], 2.5)] {
            assert!((median(values.clone()) - expected).abs() < 1e-9, "{values:?}");
        }
    }

    #[test]
    fn each_figure_has_a_median_of_its_own() {
        let pass = |accepted, p99, used| Pass {
            accepted,
            accept: Times { p99, ..Times::default() },
            threads_us: BTreeMap::from([("writer".to_owned(), used)]),
            ..Pass::default()
        };
        let median = Pass::median(&[pass(1.0, 30.0, 5.0), pass(3.0, 20.0, 6.0), pass(2.0, 10.0, 7.0)]);
        assert_eq!(median, pass(2.0, 20.0, 6.0));
    }
}
