// Enroll with a Mosaic Federation gateway, and renew the certificate, with Go's standard library.
//
//	enroll DIR  < invitation     obtain a certificate; run it again if its answer was lost
//	renew DIR                    replace it, once its `renewAfter` has passed
//
// DIR holds gateway.json (the API's URL and the pinned root) and credential.pem: the private key,
// the certificate and its intermediates in one file, which is renamed into place, so a reader never
// sees a key beside another key's certificate. next-key.pem exists while a request is under way.
// Exit status: 0 done, 75 try again later, 1 anything else.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Gateway is where to ask, and the only root that is trusted there.
type Gateway struct {
	API  string `json:"api"`
	Root string `json:"root"`
}

// Issued is the answer to an enrollment, a pickup and a renewal.
type Issued struct {
	Certificate string   `json:"certificate"`
	Chain       []string `json:"chain"`
	Serial      string   `json:"serial"`
	NotAfter    string   `json:"notAfter"`
	RenewAfter  string   `json:"renewAfter"`
}

// Problem is an error of the gateway (RFC 9457).
type Problem struct {
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Retryable bool   `json:"retryable"`
	retry     string // the Retry-After header
}

func (p *Problem) Error() string {
	text := fmt.Sprintf("the gateway answered %d %s: %s", p.Status, p.Code, p.Detail)
	if p.retry != "" {
		text += "; try again in " + p.retry + " s"
	}
	return text
}

func main() {
	if len(os.Args) != 3 || (os.Args[1] != "enroll" && os.Args[1] != "renew") {
		fmt.Fprintln(os.Stderr, "usage: enroll DIR < invitation, or renew DIR")
		os.Exit(64)
	}
	run := renew
	if os.Args[1] == "enroll" {
		run = enroll
	}
	issued, err := run(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		var problem *Problem
		if errors.As(err, &problem) && (problem.Retryable || problem.retry != "") {
			os.Exit(75)
		}
		os.Exit(1)
	}
	fmt.Printf("certificate %s until %s, renew after %s\n", issued.Serial, issued.NotAfter, issued.RenewAfter)
}

// enroll spends the invitation's token. If it was spent by an earlier run whose answer was lost,
// the certificate is fetched by a proof of the key. A used token is never sent with another key:
// that looks like theft.
func enroll(dir string) (*Issued, error) {
	text, err := io.ReadAll(io.LimitReader(os.Stdin, 4096))
	if err != nil {
		return nil, err
	}
	page, fragment, _ := strings.Cut(strings.TrimSpace(string(text)), "#")
	token, pin, pinned := strings.Cut(strings.TrimPrefix(fragment, "token="), ",ca=sha256:")
	api := strings.TrimSuffix(page, "/enroll")
	if !pinned || api == page || !strings.HasPrefix(api, "https://") {
		return nil, errors.New("standard input is not an invitation (https://…/enroll#token=…,ca=sha256:…)")
	}
	root, err := fetchRoot(api, pin)
	if err != nil {
		return nil, err
	}
	gateway, authorization := Gateway{api, root}, "Bearer "+token
	var spent *Problem
	_, err = gateway.send(http.MethodGet, "/enroll", "Authorization", authorization, nil)
	if errors.As(err, &spent) && spent.Code != "token_spent" {
		spent = nil // the enrollment itself decides
	}
	if _, missing := os.Stat(filepath.Join(dir, "next-key.pem")); spent != nil && missing != nil {
		return nil, spent
	}
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := nextKey(dir)
	if err != nil {
		return nil, err
	}
	csr, err := request(key)
	if err != nil {
		return nil, err
	}
	var issued *Issued
	if spent == nil {
		body, _ := json.Marshal(map[string]string{"csr": string(csr)})
		issued, err = gateway.send(http.MethodPost, "/enroll", "Authorization", authorization, body)
	} else {
		path := "/certificates/pickup"
		issued, err = gateway.send(http.MethodPost, path, "DPoP", proof(key, api+path, nil), []byte("{}"))
		var problem *Problem
		if errors.As(err, &problem) && problem.Code == "proof_invalid" {
			err = spent
		}
	}
	if err != nil {
		return nil, err
	}
	return issued, gateway.store(dir, key, issued)
}

// renew asks for a certificate of a new key. The proof is by the current key, over the new request.
func renew(dir string) (*Issued, error) {
	var gateway Gateway
	encoded, err := os.ReadFile(filepath.Join(dir, "gateway.json"))
	if err == nil {
		err = json.Unmarshal(encoded, &gateway)
	}
	if err != nil {
		return nil, err
	}
	current, err := readKey(filepath.Join(dir, "credential.pem"))
	if err != nil {
		return nil, err
	}
	key, err := nextKey(dir)
	if err == nil && key.Equal(current) { // an earlier run ended just before it removed the file
		if err = os.Remove(filepath.Join(dir, "next-key.pem")); err == nil {
			key, err = nextKey(dir)
		}
	}
	if err != nil {
		return nil, err
	}
	csr, err := request(key)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(csr)
	digest := sha256.Sum256(block.Bytes)
	claims := map[string]any{"csr#S256": base64.RawURLEncoding.EncodeToString(digest[:])}
	url := gateway.API + "/certificates/renew"
	body, _ := json.Marshal(map[string]string{"csr": string(csr)})
	issued, err := gateway.send(http.MethodPost, "/certificates/renew", "DPoP", proof(current, url, claims), body)
	if err != nil {
		return nil, err
	}
	return issued, gateway.store(dir, key, issued)
}

// fetchRoot asks for the roots over a connection that is not verified, and keeps only the pinned one.
func fetchRoot(api, pin string) (string, error) {
	insecure := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := &http.Client{Transport: insecure, Timeout: 30 * time.Second}
	response, err := client.Get(api + "/ca/roots")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	bundle, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return "", err
	}
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		digest := sha256.Sum256(block.Bytes)
		if hex.EncodeToString(digest[:]) == pin {
			return string(pem.EncodeToMemory(block)), nil
		}
	}
	return "", errors.New("no root of this gateway has the invitation's fingerprint: stop here, and ask who invited you")
}

// nextKey returns the key that the next certificate is for. It is stored before it is used, so
// that a run which is killed goes on with the same key.
func nextKey(dir string) (*ecdsa.PrivateKey, error) {
	key, err := readKey(filepath.Join(dir, "next-key.pem"))
	if !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return key, write(dir, "next-key.pem", encodeKey(key))
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s does not begin with a private key", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no P-256 key", path)
	}
	return key, nil
}

func encodeKey(key *ecdsa.PrivateKey) []byte {
	der, _ := x509.MarshalPKCS8PrivateKey(key) // no error: the curve is a named one
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// request makes a PKCS #10 request. The gateway uses its public key only.
func request(key *ecdsa.PrivateKey) ([]byte, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "peer"}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), err
}

// proof makes a DPoP proof (RFC 9449) for a POST: a JWT that is valid for one minute.
func proof(key *ecdsa.PrivateKey, url string, claims map[string]any) string {
	encode := base64.RawURLEncoding.EncodeToString
	header, _ := json.Marshal(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": map[string]string{
		"kty": "EC", "crv": "P-256",
		"x": encode(key.X.FillBytes(make([]byte, 32))), "y": encode(key.Y.FillBytes(make([]byte, 32))),
	}})
	identifier := make([]byte, 16)
	_, _ = rand.Read(identifier) // it does not fail: the system's source of random bytes
	all := map[string]any{"htm": "POST", "htu": url, "iat": time.Now().Unix(), "jti": encode(identifier)}
	for name, value := range claims {
		all[name] = value
	}
	payload, _ := json.Marshal(all)
	signed := encode(header) + "." + encode(payload)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		panic(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return signed + "." + encode(signature)
}

func (g Gateway) send(method, path, header, value string, body []byte) (*Issued, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(g.Root))
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		Timeout:       90 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	question, err := http.NewRequest(method, g.API+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	question.Header.Set("Content-Type", "application/json")
	question.Header.Set(header, value)
	response, err := client.Do(question)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<18))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		problem := &Problem{Status: response.StatusCode, retry: response.Header.Get("Retry-After")}
		_ = json.Unmarshal(answer, problem) // what is no problem document keeps its status
		return nil, problem
	}
	issued := &Issued{}
	return issued, json.Unmarshal(answer, issued)
}

// store checks the answer, and puts key, certificate and intermediates into place as one file.
func (g Gateway) store(dir string, key *ecdsa.PrivateKey, issued *Issued) error {
	block, _ := pem.Decode([]byte(issued.Certificate))
	if block == nil {
		return errors.New("the answer holds no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return errors.New("the certificate is for another key than ours")
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(g.Root))
	chain := strings.Join(issued.Chain, "")
	intermediates.AppendCertsFromPEM([]byte(chain))
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if _, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: usage}); err != nil {
		return err
	}
	all := append(encodeKey(key), []byte(issued.Certificate+chain)...)
	encoded, _ := json.Marshal(g)
	if err = write(dir, "gateway.json", encoded); err == nil {
		err = write(dir, "credential.pem", all)
	}
	if err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, "next-key.pem"))
}

// write makes a file that only its owner may read, whole or not at all.
func write(dir, name string, content []byte) error {
	file, err := os.CreateTemp(dir, ".new-*") // its mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err = file.Write(content); err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), filepath.Join(dir, name))
}
