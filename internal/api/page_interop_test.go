//go:build interop

package api

import (
	"bytes"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"jurymast/internal/testbed"
)

// TestInteropPageInABrowser draws the page as an operator sees it, light, dark and on a narrow screen, and looks that there is more on it
// than one colour.
func TestInteropPageInABrowser(t *testing.T) {
	browser := testbed.Tool(t, "chromium")
	r := troubledPage(t)
	for _, scheme := range []string{"light", "dark", "narrow"} {
		size := "1280,1000"
		if scheme == "narrow" {
			size = "500,1700"
		}
		shot := filepath.Join(t.TempDir(), scheme+".png")
		args := []string{
			"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=" + size, "--user-data-dir=" + t.TempDir(),
			"--screenshot=" + shot,
		}
		if scheme == "dark" {
			args = append(args, "--blink-settings=preferredColorScheme=0")
		}
		if out, err := exec.CommandContext(t.Context(), browser, append(args, r.url+"/status")...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(shot)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		colours := map[[4]uint32]bool{}
		box := picture.Bounds()
		for y := box.Min.Y; y < box.Max.Y; y += 3 {
			for x := box.Min.X; x < box.Max.X; x += 3 {
				r, g, b, a := picture.At(x, y).RGBA()
				colours[[4]uint32{r, g, b, a}] = true
			}
		}
		if len(colours) < 10 {
			t.Errorf("%s: %d colours: the page is empty", scheme, len(colours))
		}
		if keep := os.Getenv("JURYMAST_SCREENSHOTS"); keep != "" {
			if err := os.WriteFile(filepath.Join(keep, "status-"+scheme+".png"), text, 0o600); err != nil {
				t.Error(err)
			}
		}
	}
}
