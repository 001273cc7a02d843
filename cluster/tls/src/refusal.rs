//! Why hands were not shaken, as operators are told.

use std::{fmt, io};

use rustls::{AlertDescription as Alert, CertificateError, Error};

/// Why a connection did not come about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The other side showed a certificate for which nobody vouches who is believed here.
    UnknownAuthority,
    /// The other side's certificate has ended, or has not begun.
    Expired,
    /// The other side's certificate has another name.
    WrongName,
    /// The other side showed no certificate and had to.
    NoCertificate,
    /// The other side does not believe the certificate that was shown to it.
    NotBelieved(String),
    /// The other side does not speak TLS.
    NotTls,
    /// It took too long.
    Slow,
    /// So many others came at the same time that it was given up.
    Crowded,
    /// The other side hung up.
    HungUp,
    /// Something else.
    Other(String),
}

impl Reason {
    /// One word for it, for counting.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownAuthority => "unknown_authority",
            Self::Expired => "expired",
            Self::WrongName => "wrong_name",
            Self::NoCertificate => "no_certificate",
            Self::NotBelieved(_) => "not_believed",
            Self::NotTls => "not_tls",
            Self::Slow => "slow",
            Self::Crowded => "crowded",
            Self::HungUp => "hung_up",
            Self::Other(_) => "other",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAuthority => "unknown CA: nobody who is trusted here vouches for its certificate",
            Self::Expired => "its certificate has expired or is not valid yet",
            Self::WrongName => "wrong name: its certificate is for another one",
            Self::NoCertificate => "it shows no certificate, and one is required",
            Self::NotBelieved(why) => return write!(f, "it does not accept the certificate that it is shown ({why})"),
            Self::NotTls => "it does not speak TLS",
            Self::Slow => "it did not finish the handshake in time",
            Self::Crowded => "too many handshakes are under way",
            Self::HungUp => "it hung up during the handshake",
            Self::Other(why) => return f.write_str(why),
        })
    }
}

/// Why hands were not shaken.
#[must_use]
pub fn reason(error: &io::Error) -> Reason {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Reason::UnknownAuthority,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Reason::Expired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Reason::WrongName,
            why => Reason::Other(format!("its certificate is not valid: {why:?}")),
        },
        Some(Error::NoCertificatesPresented) => Reason::NoCertificate,
        Some(Error::AlertReceived(alert)) => match alert {
            Alert::UnknownCA => Reason::NotBelieved("unknown CA".into()),
            Alert::CertificateExpired => Reason::NotBelieved("expired".into()),
            Alert::CertificateRequired => Reason::NotBelieved("a certificate is required".into()),
            Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate | Alert::DecryptError => {
                Reason::NotBelieved("bad certificate".into())
            }
            alert => Reason::Other(format!("it refuses: {alert:?}")),
        },
        Some(Error::InvalidMessage(_)) => Reason::NotTls,
        Some(error) => Reason::Other(error.to_string()),
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Reason::HungUp,
        None => Reason::Other(error.to_string()),
    }
}
