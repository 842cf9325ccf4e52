//! Reads the result files of the other benchmarks.

use std::fs;

use crate::support;

/// The result files, always shown together.
pub(crate) struct Run {
    pub(crate) start: Results,
    pub(crate) versus: Results,
    pub(crate) instructions: Results,
    pub(crate) axum: Results,
}

/// One table of results: the remarks above it, and its rows by column name.
pub(crate) struct Results {
    remarks: Vec<(String, String)>,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Results {
    /// # Errors
    ///
    /// What is wrong, and the command that writes the file.
    pub(crate) fn read(name: &str) -> Result<Self, String> {
        let path = support::results().join(format!("{name}.tsv"));
        let shown = support::relative(&path).display().to_string();
        let fix = format!("run: cargo bench --bench {name}");
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("{shown} cannot be read ({error}); {fix}"))?;
        let cells = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
        let (remarks, table): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('#'));
        let mut table = table.into_iter().map(cells);
        let columns = table.next().unwrap_or_default();
        let rows: Vec<Vec<String>> = table.collect();
        if rows.is_empty() || rows.iter().any(|row| row.len() != columns.len()) {
            return Err(format!("{shown} is not a complete table; {fix}"));
        }
        Ok(Self {
            remarks: remarks
                .iter()
                .filter_map(|line| line.strip_prefix("# ")?.split_once('\t'))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            columns,
            rows,
        })
    }

    fn cell<'a>(&self, row: &'a [String], column: &str) -> &'a str {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| row.get(at)).map_or("", String::as_str)
    }

    /// Names and figures of a column, in the rows of a scenario. Rows without a figure are left out.
    pub(crate) fn series(&self, scenario: Option<&str>, column: &str) -> Vec<(String, f64)> {
        let of_scenario =
            |row: &&Vec<String>| scenario.is_none_or(|name| self.cell(row, "scenario") == name);
        let figure = |row: &Vec<String>| {
            let figure = self.cell(row, column).parse::<f64>().ok()?;
            let name = self.cell(row, "program").to_owned();
            figure.is_finite().then_some((name, figure))
        };
        self.rows
            .iter()
            .filter(of_scenario)
            .filter_map(figure)
            .collect()
    }

    pub(crate) fn figure(
        &self,
        scenario: Option<&str>,
        program: &str,
        column: &str,
    ) -> Option<f64> {
        let series = self.series(scenario, column);
        let found = series.into_iter().find(|(name, _)| name == program);
        found.map(|(_, figure)| figure)
    }

    /// The programs of the table, in its order, each once.
    pub(crate) fn programs(&self) -> Vec<String> {
        let mut names = Vec::new();
        for row in &self.rows {
            let name = self.cell(row, "program");
            if !name.is_empty() && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    pub(crate) fn remarks(&self, key: &str) -> Vec<&str> {
        let of_key = self.remarks.iter().filter(|remark| remark.0 == key);
        of_key.map(|(_, text)| text.as_str()).collect()
    }

    pub(crate) fn remark(&self, key: &str) -> &str {
        self.remarks(key).first().copied().unwrap_or("unknown")
    }
}
