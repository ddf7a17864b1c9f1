//! Which names the API's answers held, for completions. Names only: a value is in no answer.

use crate::domain::WorkspaceSlug;

/// Something that an answer said about names. The texts are as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamesSeen {
    /// All workspaces.
    Workspaces(Vec<String>),
    /// All MCP servers of a workspace.
    Servers {
        /// The workspace.
        workspace: WorkspaceSlug,
        /// Their slugs.
        slugs: Vec<String>,
    },
    /// All secrets of one MCP server.
    Secrets {
        /// The workspace.
        workspace: WorkspaceSlug,
        /// The server's slug.
        server: String,
        /// Their names.
        names: Vec<String>,
    },
    /// A secret that is now there.
    SecretSet {
        /// The workspace.
        workspace: WorkspaceSlug,
        /// The server's slug.
        server: String,
        /// Its name.
        name: String,
    },
    /// A workspace was added or removed.
    WorkspacesChanged,
    /// Something in it was added or removed: what is known of the workspace is no longer whole.
    Changed(WorkspaceSlug),
}
