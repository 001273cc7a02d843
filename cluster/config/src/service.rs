//! What a process may run.

use std::fmt;

/// A service, by the names of Temporal.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Service {
    /// Answers clients.
    Frontend = 0,
    /// Owns shards.
    History = 1,
    /// Owns task queues.
    Matching = 2,
    /// Does what a cluster does by itself.
    Worker = 3,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Frontend, Self::History, Self::Matching, Self::Worker];

    /// Its name, as operators write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::History => "history",
            Self::Matching => "matching",
            Self::Worker => "worker",
        }
    }

    /// The service of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.as_str() == name)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of services.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Services(
    /// A bit for each.
    u8,
);

impl Services {
    /// Every service there is.
    pub const ALL: Self = Self(0b1111);

    /// Whether a service is among them.
    #[must_use]
    pub const fn contains(self, service: Service) -> bool {
        self.0 & 1 << service as u8 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The services, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Service> {
        Service::ALL.into_iter().filter(move |service| self.contains(*service))
    }
}

impl FromIterator<Service> for Services {
    fn from_iter<I: IntoIterator<Item = Service>>(services: I) -> Self {
        Self(services.into_iter().fold(0, |bits, service| bits | 1 << service as u8))
    }
}

impl fmt::Display for Services {
    /// `frontend,history`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, service) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{service}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let services: Services = [Service::Matching, Service::Frontend, Service::Matching].into_iter().collect();
        assert_eq!(services.to_string(), "frontend,matching");
        assert!(services.contains(Service::Matching) && !services.contains(Service::History));
        assert_eq!(Services::ALL.iter().collect::<Services>(), Services::ALL);
        assert!(Services::default().is_empty());
    }

    #[test]
    fn names_are_read_back() {
        for service in Service::ALL {
            assert_eq!(Service::from_name(service.as_str()), Some(service));
        }
        assert_eq!(Service::from_name("History"), None);
    }
}
