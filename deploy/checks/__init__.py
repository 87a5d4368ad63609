"""What `deploy/check` looks at: one module for each kind of file, each a function from files to complaints."""
