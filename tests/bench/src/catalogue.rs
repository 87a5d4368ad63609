//! The records that are measured on: which there are, and loading them by SQL.
//!
//! The arithmetic of `catalogue/keys.sql`, once more.

use std::{fs, path::Path, process::Command};

use testbed::Postgres;

use crate::{
    failure::{Failure, Result},
    say::say,
};

pub(crate) const KEYS: &str = include_str!("catalogue/keys.sql");
const BARE: &str = include_str!("catalogue/bare.sql");
const WHOLE: &str = include_str!("catalogue/whole.sql");
const VITRINE: &str = include_str!("catalogue/vitrine.sql");
const GLANCE: &str = include_str!("catalogue/glance.sql");
const GLANCE_INDEXES: &str = include_str!("catalogue/glance_indexes.sql");

/// The fewest and the most images: fewer projects than members of one image would not do, and with more the
/// arithmetic leaves what Lua's numbers can hold.
pub(crate) const SIZES: std::ops::RangeInclusive<u64> = 10_000..=3_000_000;

/// A catalogue of so many images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Catalogue {
    /// How many images there are, numbered from 1.
    pub(crate) images: u64,
}

/// One membership: of the n-th image, by the number of the project.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Membership {
    pub(crate) image: u64,
    pub(crate) owner: u64,
    pub(crate) member: u64,
}

/// The big owners are these projects: together every fifth image is theirs, and shared.
pub(crate) const OWNERS: std::ops::Range<u64> = 1_000_000..1_000_008;
/// The projects with thousands of shares: the first member of each big owner's image.
pub(crate) const TAKERS: std::ops::Range<u64> = 1_100_000..1_100_008;
/// The ordinary projects that list.
pub(crate) const PLAIN: std::ops::Range<u64> = 0..8;

impl Catalogue {
    /// How many ordinary projects there are.
    pub(crate) fn projects(self) -> u64 {
        self.images / 20
    }

    /// How many members the n-th image has, if it is shared.
    pub(crate) fn members(n: u64) -> u64 {
        match n {
            _ if n.is_multiple_of(1000) => 300,
            _ if n % 100 == 50 => 100,
            _ => 1 + n * 7919 % 29,
        }
    }

    /// The k-th membership of a big owner's image.
    pub(crate) fn membership(self, n: u64, k: u64) -> Membership {
        let member = match k {
            0 => TAKERS.start + n / 40 % 8,
            _ => (scatter(n) / 64 + k) % self.projects(),
        };
        Membership { image: n, owner: OWNERS.start + n / 5 % 8, member }
    }

    /// A big owner's image with room for members, and with several.
    pub(crate) fn example(self) -> u64 {
        Self::examples().next().unwrap_or(5)
    }

    /// Another one, of which nobody changed anything.
    pub(crate) fn untouched(self) -> u64 {
        Self::examples().nth(1).unwrap_or(5)
    }

    fn examples() -> impl Iterator<Item = u64> {
        (5005_u64..*SIZES.start()).step_by(5).filter(|n| !n.is_multiple_of(50) && Self::members(*n) > 3)
    }

    /// A public image older than half of them.
    pub(crate) fn old_public(self) -> u64 {
        50 * (self.images / 200) + 1
    }
}

fn scatter(n: u64) -> u64 {
    n * 2_654_435_761 % (1 << 32)
}

/// The n-th image's id.
pub(crate) fn image_id(n: u64) -> String {
    let digits = format!("{:0<32}", format!("{:x}", (1 << 32) + scatter(n)));
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// A project's id.
pub(crate) fn project_id(p: u64) -> String {
    format!("{:0<32}", format!("{:x}", (1_u64 << 32) + p * 2_246_822_519 % (1 << 32)))
}

/// What a loaded catalogue depends on but the migrations: changes when this program loads it differently.
pub(crate) fn recipe() -> [&'static str; 4] {
    [KEYS, BARE, WHOLE, VITRINE]
}

/// The same of Glance's.
pub(crate) fn glance_recipe() -> [&'static str; 5] {
    [KEYS, BARE, WHOLE, GLANCE, GLANCE_INDEXES]
}

/// Fills a migrated database.
pub(crate) fn load(postgres: &Postgres, database: &str, catalogue: Catalogue) -> Result<()> {
    say(format!("loading {} images into {database}", catalogue.images));
    script(postgres, database, catalogue, &[KEYS, BARE, VITRINE, WHOLE])
}

/// Fills Glance's own database.
pub(crate) fn load_glance(postgres: &Postgres, database: &str, catalogue: Catalogue) -> Result<()> {
    say(format!("loading {} images into {database}", catalogue.images));
    script(postgres, database, catalogue, &[KEYS, BARE, GLANCE, WHOLE])
}

/// Gives Glance's database the indexes it lacks.
pub(crate) fn index_glance(postgres: &Postgres, database: &str, catalogue: Catalogue) -> Result<()> {
    script(postgres, database, catalogue, &[GLANCE_INDEXES])
}

fn script(postgres: &Postgres, database: &str, catalogue: Catalogue, parts: &[&str]) -> Result<()> {
    let directory = tempfile::tempdir().map_err(|error| Failure::doing("a temporary directory", error))?;
    let file = directory.path().join("load.sql");
    fs::write(&file, parts.join("\n")).map_err(|error| Failure::doing("writing a script", error))?;
    run(postgres, database, catalogue, &file)
}

fn run(postgres: &Postgres, database: &str, catalogue: Catalogue, file: &Path) -> Result<()> {
    let output = Command::new(postgres.program("psql"))
        .args(["-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1"])
        .args(["-v", &format!("images={}", catalogue.images)])
        .args(["-v", &format!("projects={}", catalogue.projects())])
        .args(["-d", postgres.named(database).url(), "-f"])
        .arg(file)
        .output()
        .map_err(|error| Failure::doing("psql cannot be started", error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!(
        "the catalogue cannot be loaded; if a migration changed a table, change src/catalogue/*.sql too:\n{said}"
    )))
}

#[cfg(test)]
mod tests {
    use testbed::postgres::Durability;

    use super::*;

    #[test]
    fn rust_and_sql_name_the_same_images_projects_and_members() {
        let postgres = Postgres::private(Durability::Forgone);
        let catalogue = Catalogue { images: 10_000 };
        for (n, k) in [(5, 0), (7_005, 2), (9_995, 1), (1_234_560, 3)] {
            let membership = catalogue.membership(n, k);
            let sql = format!(
                "{KEYS}; SELECT pg_temp.image_id({n}), pg_temp.owner({n}, 500), pg_temp.member({n}, {k}, 500), pg_temp.members({n})"
            );
            let database = postgres.database();
            let expected = format!(
                "{}|{}|{}|{}",
                image_id(n),
                project_id(membership.owner),
                project_id(membership.member),
                Catalogue::members(n)
            );
            assert_eq!(database.query(&sql), [expected]);
        }
    }

    #[test]
    fn an_image_has_ten_members_on_average_and_each_project_once() {
        let postgres = Postgres::private(Durability::Forgone);
        let database = postgres.database();
        let counted = database.query(&format!(
            "{KEYS}; SELECT round(avg(pg_temp.members(n)), 1), round(avg((pg_temp.visibility(n) = 'public')::int), 2) \
             FROM generate_series(1::bigint, 10000) AS n"
        ));
        assert_eq!(counted, ["10.0|0.02"]);
        let twice = database.query(&format!(
            "{KEYS}; SELECT n, pg_temp.member(n, k, 500) FROM generate_series(1::bigint, 10000) AS n, \
             generate_series(0, pg_temp.members(n) - 1) AS k GROUP BY 1, 2 HAVING count(*) > 1"
        ));
        assert!(twice.is_empty(), "{twice:?}");
        assert!(!catalogue_example().is_multiple_of(50));
    }

    fn catalogue_example() -> u64 {
        Catalogue { images: 10_000 }.example()
    }
}
