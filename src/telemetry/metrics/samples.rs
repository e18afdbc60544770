//! The values of one scrape, gathered from those who have them and written as OpenMetrics text.

use std::{collections::HashMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use super::{
    histogram::Snapshot,
    table::{Kind, Metric, TABLE},
};

/// What a scrape found. A metric without a sample does not appear.
#[derive(Debug, Default)]
pub struct Samples(HashMap<&'static str, Vec<Sample>>);

impl Samples {
    /// Adds a counter's value; `labels` are values in the order of the table.
    pub fn counter(&mut self, metric: &Metric, labels: &[&str], value: u64) {
        self.add(metric, Kind::Counter, labels, Value::Counter(value));
    }

    /// Adds a gauge's value; `labels` are values in the order of the table.
    pub fn gauge(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        self.add(metric, Kind::Gauge, labels, Value::Gauge(value));
    }

    /// Adds a histogram's contents; `labels` are values in the order of the table.
    pub fn histogram(&mut self, metric: &Metric, labels: &[&str], value: Snapshot) {
        self.add(
            metric,
            Kind::Histogram,
            labels,
            Value::Histogram(Box::new(value)),
        );
    }

    /// The scrape as OpenMetrics text.
    pub fn encode(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("writing to a String does not fail");
        text
    }

    fn add(&mut self, metric: &Metric, kind: Kind, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.kind, kind, "{} is of another kind", metric.name);
        debug_assert_eq!(
            metric.labels.len(),
            labels.len(),
            "labels of {}",
            metric.name
        );
        let labels = metric
            .labels
            .iter()
            .zip(labels)
            .map(|(k, v)| (*k, (*v).to_owned()));
        let sample = Sample {
            labels: labels.collect(),
            value,
        };
        self.0.entry(metric.name).or_default().push(sample);
    }
}

#[derive(Debug)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram(Box<Snapshot>),
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in TABLE {
            let Some(samples) = self.0.get(metric.name) else {
                continue;
            };
            // The encoder appends a counter's suffix itself.
            let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            let help = metric.help.trim_end_matches('.');
            let mut metric = encoder.encode_descriptor(name, help, None, metric.kind.into())?;
            for sample in samples {
                if sample.labels.is_empty() {
                    sample.value.encode(&mut metric)?;
                } else {
                    sample
                        .value
                        .encode(&mut metric.encode_family(&sample.labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Counter(value) => encoder.encode_counter::<NoLabelSet, _, f64>(value, None),
            Self::Gauge(value) => encoder.encode_gauge(value),
            Self::Histogram(it) => {
                encoder.encode_histogram::<NoLabelSet>(it.sum(), it.count(), &it.buckets(), None)
            }
        }
    }
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge,
            Kind::Histogram => Self::Histogram,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::metrics::{histogram::Histogram, table};

    #[test]
    fn a_scrape_is_open_metrics_text() {
        let mut samples = Samples::default();
        samples.counter(&table::REQUESTS, &["orders", "2xx"], 7);
        samples.counter(&table::REQUESTS, &["say \"hi\"\n", "4xx"], 1);
        samples.gauge(&table::CONNECTIONS_OPEN, &[], 3.0);
        let text = samples.encode();
        assert!(text.contains("# TYPE bearerd_requests counter\n"), "{text}");
        assert!(
            text.contains("bearerd_requests_total{route=\"orders\",status=\"2xx\"} 7\n"),
            "{text}"
        );
        assert!(
            text.contains(r#"{route="say \"hi\"\n",status="4xx"} 1"#),
            "{text}"
        );
        assert!(text.contains("\nbearerd_connections_open 3.0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn buckets_are_cumulative_and_end_in_infinity() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(2));
        histogram.observe(Duration::from_secs(3600));
        let mut samples = Samples::default();
        samples.histogram(&table::UPSTREAM_SECONDS, &["orders"], histogram.snapshot());
        let text = samples.encode();
        assert!(
            text.contains("bearerd_upstream_seconds_bucket{le=\"0.001\",route=\"orders\"} 0\n"),
            "{text}"
        );
        assert!(
            text.contains("bearerd_upstream_seconds_bucket{le=\"60.0\",route=\"orders\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("bearerd_upstream_seconds_bucket{le=\"+Inf\",route=\"orders\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("bearerd_upstream_seconds_count{route=\"orders\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("bearerd_upstream_seconds_sum{route=\"orders\"} 3600.002\n"),
            "{text}"
        );
    }
}
