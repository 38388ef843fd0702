//! Gathers the samples of one scrape into families.

use std::collections::BTreeMap;

use crate::family::{Family, Kind, Point, Series, gather};
use crate::native::{self, NativeMetric};
use crate::rules::{Attribute, Rules, Unusable};
use crate::{MBean, Sample, Value};

/// The samples of one scrape.
#[derive(Debug)]
pub struct Scrape<'a> {
    rules: &'a Rules,
    series: Vec<Series>,
    native: BTreeMap<&'static str, Family>,
    pushed: BTreeMap<String, Family>,
    errors: u64,
}

impl<'a> Scrape<'a> {
    /// Begins a scrape whose series `rules` name.
    #[must_use]
    pub fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            series: Vec::new(),
            native: BTreeMap::new(),
            pushed: BTreeMap::new(),
            errors: 0,
        }
    }

    /// Adds a value.
    pub fn add(&mut self, sample: Sample<'_>) {
        match sample {
            Sample::Attribute {
                bean,
                keys,
                attribute,
                value,
            } => self.attribute(bean, keys, attribute, value),
            Sample::Native {
                metric,
                labels,
                value,
            } => self.native(metric, labels, value),
            Sample::Pushed {
                name,
                kind,
                origin,
                labels,
                value,
            } => {
                let labels = labels.iter();
                let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
                let point = Point {
                    labels: labels.collect(),
                    value,
                };
                self.pushed(name, kind, origin, point);
            }
        }
    }

    fn attribute(
        &mut self,
        bean: &'static MBean,
        keys: &[&str],
        attribute: &'static str,
        value: Value<'_>,
    ) {
        let mut keys = keys.iter();
        let properties: Vec<(&str, &str)> = bean
            .properties()
            .map(|(key, value)| match value {
                "*" => (key, keys.next().copied().unwrap_or_default()),
                value => (key, value),
            })
            .collect();
        let help = bean.attribute(attribute).map_or("", |it| it.help);
        let found = self.rules.apply(&Attribute {
            domain: bean.domain(),
            properties: &properties,
            name: attribute,
            help,
            value,
        });
        match found {
            Ok(series) => self.series.extend(series),
            Err(Unusable::Rule) => self.errors += 1,
            Err(Unusable::Value) => {}
        }
    }

    fn native(&mut self, metric: &'static NativeMetric, labels: &[&str], value: f64) {
        let family = self.native.entry(metric.name).or_insert_with(|| Family {
            name: metric.name.to_owned(),
            kind: metric.kind,
            help: metric.help.to_owned(),
            points: Vec::new(),
        });
        let names = metric.labels.iter().zip(labels);
        family.points.push(Point {
            labels: names
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            value,
        });
    }

    /// Clients that push different types under one name make a family of unknown type.
    fn pushed(&mut self, name: &str, kind: Kind, origin: &str, point: Point) {
        if !self.pushed.contains_key(name) {
            let family = Family {
                name: name.to_owned(),
                kind,
                help: format!("Pushed by clients as {origin}"),
                points: Vec::new(),
            };
            self.pushed.insert(name.to_owned(), family);
        }
        if let Some(family) = self.pushed.get_mut(name) {
            if family.kind != kind {
                family.kind = Kind::Unknown;
            }
            family.points.push(point);
        }
    }

    /// Ends the scrape, which took `seconds`. Returns the families in the order of their names. A
    /// family that a rule makes hides a native one of the same name, and both hide one of clients.
    #[must_use]
    pub fn finish(mut self, seconds: f64) -> Vec<Family> {
        let errors = self.errors as f64;
        self.native(&native::SCRAPE_DURATION, &[], seconds);
        self.native(&native::SCRAPE_ERROR, &[], errors);
        let mut families = gather(self.series);
        for (name, mut family) in self.native {
            family.points.sort_by(|a, b| a.labels.cmp(&b.labels));
            families.entry(name.to_owned()).or_insert(family);
        }
        for (name, mut family) in self.pushed {
            family.points.sort_by(|a, b| a.labels.cmp(&b.labels));
            family
                .points
                .dedup_by(|later, first| later.labels == first.labels);
            families.entry(name).or_insert(family);
        }
        families.into_values().collect()
    }
}
