package profile

// Warnings lists what a valid file says that its author may not have meant: warnings make `check` exit 1, infos do
// not.
func Warnings(f *File) Problems {
	return nil
}
