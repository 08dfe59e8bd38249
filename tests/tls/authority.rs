//! A certificate authority of a test's own.

use chrono::Datelike;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;

use crate::rig::Scratch;

/// Certifies, and its own certificate lies in a file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub file: String,
}

/// A certificate and its key, as PEM.
pub struct Pair {
    pub cert: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Authority {
    pub fn new(scratch: &Scratch, name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = scratch.join(&format!("{name}.pem"));
        std::fs::write(&file, issuer.as_ref().pem()).unwrap();
        Self { issuer, file }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.as_ref().der().clone()
    }

    /// For these names and addresses, and valid now.
    pub fn certifies(&self, names: &[&str]) -> Pair {
        self.pair(names, (2099, 1, 1))
    }

    /// For these names, and valid in the past only.
    pub fn certified_once(&self, names: &[&str]) -> Pair {
        self.pair(names, (2001, 1, 1))
    }

    /// For these names, and valid until the beginning of the day that is so many days away.
    pub fn certifies_for(&self, names: &[&str], days: u64) -> Pair {
        let day = chrono::Utc::now().date_naive() + chrono::Days::new(days);
        self.pair(names, (day.year(), day.month(), day.day()))
    }

    fn pair(&self, names: &[&str], (year, month, day): (i32, u32, u32)) -> Pair {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        let part = |number: u32| u8::try_from(number).unwrap();
        params.not_after = date_time_ymd(year, part(month), part(day));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().clone() }
    }
}

impl Pair {
    /// Writes both files as `name.crt` and `name.key`, each in one step; tells where they are.
    pub fn write(&self, scratch: &Scratch, name: &str) -> (String, String) {
        let put = |ending: &str, text: &str| {
            let path = scratch.join(&format!("{name}.{ending}"));
            std::fs::write(format!("{path}.new"), text).unwrap();
            std::fs::rename(format!("{path}.new"), &path).unwrap();
            path
        };
        (put("crt", &self.cert), put("key", &self.key))
    }
}
