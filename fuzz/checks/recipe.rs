//! Recipes: a few bytes that make a query or a patch of tens of thousands.

/// A query: of each three bytes the first names a parameter, the second says how often, the third what it holds.
pub(crate) fn query(recipe: &[u8]) -> String {
    const NAMES: [&str; 24] = [
        "sort",
        "sort_key",
        "sort_dir",
        "tag",
        "id",
        "name",
        "status",
        "container_format",
        "disk_format",
        "owner",
        "min_ram",
        "min_disk",
        "limit",
        "marker",
        "marker_position",
        "visibility",
        "member_status",
        "protected",
        "os_hidden",
        "deleted",
        "p",
        "q",
        "tags",
        "created_at",
    ];
    const VALUES: [&str; 24] = [
        "name",
        "name:asc",
        "id",
        "status:desc",
        "size",
        "asc",
        "desc",
        "in:",
        "in:a,b,",
        "eq:",
        "a",
        "queued",
        "bogus",
        "p",
        "512",
        "0",
        "3",
        "true",
        "false",
        "all",
        "shared",
        "c0ffee00-0000-4000-8000-000000000001",
        "c0-0.ic0ffee00-0000-4000-8000-000000000001",
        "%22,%22",
    ];
    let mut query = String::new();
    for part in recipe.chunks_exact(3) {
        let (name, value) =
            (NAMES[usize::from(part[0]) % NAMES.len()], VALUES[usize::from(part[2]) % VALUES.len()]);
        let count = usize::from(part[1]);
        if part[2] >= 128 {
            // One parameter with a long value.
            let separator = if part[2] & 32 == 0 { "," } else { "" };
            let values = vec![value; count * 16].join(separator);
            query.push_str(&format!("{name}={}{values}&", if part[2] & 64 == 0 { "in:" } else { "" }));
        } else {
            for number in 0..count {
                // Free properties of different names, the others repeated.
                let own = if matches!(name, "p" | "q") { number.to_string() } else { String::new() };
                query.push_str(&format!("{name}{own}={value}&"));
            }
        }
        if query.len() > 256 << 10 {
            break;
        }
    }
    query
}

/// A patch: of each three bytes the first chooses the step, the second its path, the third how long its value is.
pub(crate) fn patch(recipe: &[u8], dialect: &str) -> Vec<u8> {
    const OPS: [&str; 3] = ["add", "replace", "remove"];
    const PATHS: [&str; 16] = [
        "/name",
        "/tags",
        "/min_ram",
        "/p",
        "/p",
        "/q",
        "/a~1b",
        "/location",
        "/protected",
        "/owner",
        "/visibility",
        "/disk_format",
        "/os_glance",
        "/x/y",
        "/",
        "/members",
    ];
    let mut steps = Vec::new();
    for part in recipe.chunks_exact(3) {
        let (op, path) = (OPS[usize::from(part[0]) % OPS.len()], PATHS[usize::from(part[1]) % PATHS.len()]);
        let length = usize::from(part[2]);
        let value = match part[0] / 32 {
            0 | 1 => format!("\"{}\"", "x".repeat(length * 8)),
            2 => format!("\"{}\"", "\\n".repeat(length * 8)),
            3 => format!("[{}]", vec!["\"t\""; length].join(",")),
            4 => format!(
                "[{}]",
                (0..length).map(|number| format!("\"{number}\"")).collect::<Vec<_>>().join(",")
            ),
            5 => format!("1{}", "0".repeat(length * 8)),
            6 => length.to_string(),
            _ => format!("{}{}", "[".repeat(length), "]".repeat(length)),
        };
        let extra = if part[0] & 16 == 0 { "" } else { ",\"x\":-1e999" };
        steps.push(if dialect == "op" {
            format!("{{\"op\":\"{op}\",\"path\":\"{path}\",\"value\":{value}{extra}}}")
        } else {
            format!("{{\"{op}\":\"{path}\",\"value\":{value}{extra}}}")
        });
    }
    format!("[{}]", steps.join(",")).into_bytes()
}
