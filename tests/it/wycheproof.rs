//! Project Wycheproof's AES-GCM vectors against our own seal and open: those with a
//! 256-bit key, a 96-bit IV and a 128-bit tag are verified, the other AES-256 ones refused.

use aerostack::server::vault::aead::{open, seal};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

#[test]
fn all_105_aes_256_cases() {
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let (mut verified, mut refused) = (0, 0);
    for group in &set.test_groups {
        for case in group.tests.iter().filter(|_| group.key_size == 256) {
            let joined = [&case.ct[..], &case.tag[..]].concat();
            let opened = open(&case.key, &case.nonce, &case.aad, &joined);
            let sealed = seal(&case.key, &case.nonce, &case.aad, &case.pt);
            if group.nonce_size != 96 || group.tag_size != 128 {
                assert!(opened.is_err() && sealed.is_err(), "case {} is of another size", case.tc_id);
                refused += 1;
                continue;
            }
            if case.result == TestResult::Invalid {
                assert!(opened.is_err(), "case {} must not open", case.tc_id);
            } else {
                assert_eq!(opened.unwrap().as_slice(), &case.pt[..], "case {}", case.tc_id);
                assert_eq!(sealed.unwrap(), joined, "case {}", case.tc_id);
            }
            verified += 1;
        }
    }
    assert_eq!(verified + refused, 105);
    assert!(verified > 60 && refused > 20, "{verified} verified, {refused} refused");
}

#[test]
fn other_sizes_of_key_and_tag_are_refused() {
    for size in [0, 16, 24, 31, 33] {
        assert!(seal(&vec![1; size], &[0; 12], b"", b"x").is_err());
        assert!(open(&vec![1; size], &[0; 12], b"", &[0; 17]).is_err());
    }
    let sealed = seal(&[1; 32], &[0; 12], b"data", b"text").unwrap();
    assert_eq!(open(&[1; 32], &[0; 12], b"data", &sealed).unwrap().as_slice(), b"text");
    for kept in 0..sealed.len() {
        assert!(open(&[1; 32], &[0; 12], b"data", &sealed[..kept]).is_err(), "{kept} bytes");
    }
}
