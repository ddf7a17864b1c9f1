//! What a sealed value is bound to: every part of its place, its rule, its dates, every
//! bit of its BLOB. Whatever differs, it does not open.

use std::collections::HashSet;

use aerostack::domain::{Injection, Origin, SealedValue, SecretName, SecretValue, UpstreamUrl};
use aerostack::server::vault::{Binding, Keyring, RowFacts, SecretsKey, Vault, VaultError};

use crate::harness::companion::KEY;

fn vault(key: &str) -> Vault {
    Vault::new(Keyring::new(&SecretsKey::parse(key).unwrap()).unwrap())
}

fn value(text: &str) -> SecretValue {
    SecretValue::parse(text.as_bytes().to_vec()).unwrap()
}

fn origin(text: &str) -> Origin {
    UpstreamUrl::parse(text).unwrap().origin().clone()
}

struct Row {
    origin: Origin,
    name: SecretName,
    rule: Injection,
    sealed: SealedValue,
    mac: [u8; 32],
}

impl Row {
    fn new(vault: &Vault) -> Self {
        let (origin, name) = (origin("https://api.example.com/mcp"), SecretName::parse("TOKEN").unwrap());
        let rule = Injection::header("X-Key", "T ").unwrap();
        let empty = SealedValue::assemble(vault.keyring().active_id(), &[0; 12], &[0; 16]);
        let mut row = Self { origin, name, rule, sealed: empty, mac: [0; 32] };
        row.sealed = vault.seal(&row.binding(), &value("ghp_x")).unwrap();
        row.mac = vault.row_mac(&row.binding(), &row.facts()).unwrap();
        row
    }

    fn binding(&self) -> Binding<'_> {
        Binding {
            project_id: "p",
            workspace_id: "w",
            server_id: "s",
            origin: &self.origin,
            secret_id: "k",
            name: &self.name,
            version: 7,
        }
    }

    fn facts(&self) -> RowFacts<'_> {
        RowFacts { rule: &self.rule, created_at: 1, updated_at: 2, sealed: &self.sealed }
    }
}

#[test]
fn opens_only_in_its_place() {
    let vault = vault(KEY);
    let row = Row::new(&vault);
    let (good, facts) = (row.binding(), row.facts());
    assert_eq!(vault.open(&good, &facts, &row.mac).unwrap().expose(), b"ghp_x");
    let (other_name, other_origin) =
        (SecretName::parse("token").unwrap(), origin("https://api.example.com:444/"));
    let moved = [
        Binding { project_id: "q", ..good },
        Binding { workspace_id: "x", ..good },
        Binding { server_id: "t", ..good },
        Binding { origin: &other_origin, ..good },
        Binding { secret_id: "l", ..good },
        Binding { name: &other_name, ..good },
        Binding { version: 8, ..good },
        // The same letters, cut in another place.
        Binding { project_id: "pw", workspace_id: "", ..good },
    ];
    for binding in &moved {
        assert_eq!(vault.open(binding, &facts, &row.mac).err(), Some(VaultError::Tampered), "{binding:?}");
        // The associated data alone refuses it too: a MAC made for the new place does not help.
        let mac = vault.row_mac(binding, &facts).unwrap();
        assert_eq!(vault.open(binding, &facts, &mac).err(), Some(VaultError::Tampered), "{binding:?}");
    }
}

#[test]
fn opens_only_under_its_rule_and_dates() {
    let vault = vault(KEY);
    let row = Row::new(&vault);
    let facts = row.facts();
    let rules = [
        Injection::Name,
        Injection::Bearer,
        Injection::header("X-Key", "").unwrap(),
        Injection::header("x-key", "T ").unwrap(),
        Injection::header("X-Other", "T ").unwrap(),
    ];
    for rule in &rules {
        let changed = RowFacts { rule, ..facts };
        assert_eq!(
            vault.open(&row.binding(), &changed, &row.mac).err(),
            Some(VaultError::Tampered),
            "{rule:?}"
        );
    }
    for changed in [RowFacts { created_at: 0, ..facts }, RowFacts { updated_at: 3, ..facts }] {
        assert!(vault.open(&row.binding(), &changed, &row.mac).is_err());
    }
}

#[test]
fn every_bit_counts() {
    let vault = vault(KEY);
    let row = Row::new(&vault);
    let bytes = row.sealed.as_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let Ok(sealed) = SealedValue::from_bytes(changed) else { continue };
        let facts = RowFacts { sealed: &sealed, ..row.facts() };
        assert!(vault.open(&row.binding(), &facts, &row.mac).is_err(), "bit {bit}");
        // With a fresh MAC over the changed BLOB, the AEAD itself refuses.
        if let Ok(mac) = vault.row_mac(&row.binding(), &facts) {
            assert!(vault.open(&row.binding(), &facts, &mac).is_err(), "bit {bit} with a fresh MAC");
        }
    }
    for bit in 0..256 {
        let mut mac = row.mac;
        mac[bit / 8] ^= 1 << (bit % 8);
        assert!(vault.open(&row.binding(), &row.facts(), &mac).is_err(), "MAC bit {bit}");
    }
}

#[test]
fn another_key_opens_nothing() {
    let (one, two) = (vault(KEY), vault(&"7a".repeat(31).chars().chain("01".chars()).collect::<String>()));
    let row = Row::new(&one);
    assert_eq!(two.open(&row.binding(), &row.facts(), &row.mac).err(), Some(VaultError::UnknownKey));
    let sealed = one.seal_internal("p", "pepper", b"12345").unwrap();
    assert_eq!(one.open_internal("p", "pepper", &sealed).unwrap().as_slice(), b"12345");
    assert!(one.open_internal("p", "other", &sealed).is_err());
    assert!(one.open_internal("q", "pepper", &sealed).is_err());
    assert!(two.open_internal("p", "pepper", &sealed).is_err());
}

#[test]
fn no_iv_comes_twice() {
    let vault = vault(KEY);
    let row = Row::new(&vault);
    let seals = 100_000;
    let ivs: HashSet<Vec<u8>> =
        (0..seals).map(|_| vault.seal(&row.binding(), &value("x")).unwrap().iv().to_vec()).collect();
    assert_eq!(ivs.len(), seals);
}
