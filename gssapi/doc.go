// Package gssapi calls the machine's own GSSAPI library (RFC 2743, RFC 2744): MIT krb5's
// libgssapi_krb5. Ticket caches, krb5.conf, mechanisms and error texts are those of every other program
// on the machine.
//
// There are three nouns, [Name], [Credential] and [SecContext], and one verb, [SecContext.Step]:
//
//	c := gssapi.NewInitiator(gssapi.Service("HTTP", "www.example.com"), nil)
//	defer c.Close()
//	token, err := c.Step(ctx, nil)
//	…  send token, receive the answer …
//	token, err = c.Step(ctx, answer)
//
// Calls that may wait for a KDC, a daemon or DNS take a context and return as soon as it ends. The C
// library itself cannot be interrupted: an abandoned call ends on its own, and the number of OS
// threads that are inside the library at one time is bounded.
//
// Errors are of type [*Error] and unwrap to a [Code]. They hold what the library said, the ticket cache
// or keytab it looked in, and what can be done; never a token, key or password.
//
// With the build tag heimdal the library is Heimdal 7.8's libgssapi, which has no replay cache and lacks some more;
// ARCHITECTURE.md lists what differs.
//
// Where the program is built without cgo, or for a system that is not Unix, every call returns
// [ErrUnavailable].
//
// # Every function in C
//
// What each function of the two libraries is in Go, or in parentheses why it is nothing. What one library or the other lacks is
// [ErrUnavailable]; a program that wants to know before asks a [Feature].
//
// Names:
//
//	gss_import_name                             NewName
//	gss_display_name                            Name.String
//	gss_display_name_ext                        Name.Display
//	gss_compare_name                            Name.Equal
//	gss_canonicalize_name                       Name.Canonical
//	gss_export_name                             Name.Export
//	gss_export_name_composite                   SecContext.Composite
//	gss_localname                               Name.Local
//	gss_userok                                  Name.MayLogInAs
//	gss_authorize_localname                     Name.MayLogInAs
//	gss_pname_to_uid                            Name.UID
//	gss_inquire_mechs_for_name                  Name.Mechs
//	gss_inquire_name                            Name.Attributes, SecContext.Attributes
//	gss_get_name_attribute                      Name.Attributes, SecContext.Attributes
//	gss_set_name_attribute                      Name.WithAttribute
//	gss_delete_name_attribute                   Name.WithoutAttribute
//	gss_map_name_to_any                         (a pointer to a plug-in's own C type: SecContext.Attributes)
//	gss_release_any_name_mapping                (of gss_map_name_to_any)
//	gss_duplicate_name                          (a Name is a value)
//	gss_release_name                            (a Name is a value)
//
// Credentials:
//
//	gss_acquire_cred                            Acquire
//	gss_acquire_cred_from                       Acquire (CredentialOptions.Store)
//	gss_acquire_cred_with_password              Acquire (Store.Password)
//	gss_set_neg_mechs                           Acquire (CredentialOptions.Mechs)
//	gss_krb5_set_allowable_enctypes             Acquire (CredentialOptions.Enctypes)
//	gss_set_cred_option                         Acquire (CredentialOptions.ExactFlags)
//	gss_krb5_set_cred_rcache                    Acquire (Store.RCache)
//	gss_krb5_import_cred                        Acquire (Store.CCache, Store.Keytab: no handles of libkrb5 here)
//	gss_acquire_cred_impersonate_name           Credential.Impersonate
//	gss_add_cred_impersonate_name               Credential.Impersonate
//	gss_add_cred                                Credential.Add
//	gss_add_cred_from                           Credential.Add
//	gss_add_cred_with_password                  Credential.Add
//	gss_inquire_cred                            Credential.Info
//	gss_inquire_cred_by_mech                    Credential.InfoByMech
//	gss_inquire_cred_by_oid                     Credential.Inquire
//	gss_store_cred                              Credential.StoreInto
//	gss_store_cred_into                         Credential.StoreInto
//	gss_krb5_copy_ccache                        Credential.StoreInto (no handles of libkrb5 here)
//	gss_export_cred                             Credential.Export
//	gss_import_cred                             ImportCredential
//	gss_release_cred                            Credential.Close
//	gss_krb5_ccache_name                        (state of the thread: Store.CCache)
//	krb5_gss_register_acceptor_identity         (state of the process: Store.Keytab)
//	gsskrb5_register_acceptor_identity          (state of the process: Store.Keytab)
//	krb5_gss_use_kdc_context                    (state of the process, for a KDC)
//	gssspi_set_cred_option                      (old name of gss_set_cred_option)
//
// Contexts:
//
//	gss_init_sec_context                        NewInitiator, SecContext.Step
//	gss_accept_sec_context                      NewAcceptor, SecContext.Step
//	gss_inquire_context                         SecContext.Info
//	gss_context_time                            SecContext.Info (Info.Expires)
//	gss_delete_sec_context                      SecContext.Close (without a token: RFC 4121 has none)
//	gss_process_context_token                   SecContext.ProcessToken
//	gss_export_sec_context                      SecContext.Export
//	gss_import_sec_context                      ImportSecContext
//	gss_inquire_sec_context_by_oid              SecContext.Inquire, SecContext.SessionKey
//	gss_set_sec_context_option                  SecContext.SetOption
//	gss_pseudo_random                           SecContext.PRF
//	gss_krb5_get_tkt_flags                      SecContext.Ticket
//	gsskrb5_extract_authtime_from_sec_context   SecContext.Ticket
//	gsskrb5_extract_authz_data_from_sec_context SecContext.AuthorizationData
//	gss_krb5_export_lucid_sec_context           SecContext.ExportLucid
//	gss_krb5_free_lucid_sec_context             (memory: inside SecContext.ExportLucid)
//	gss_complete_auth_token                     (no mechanism has it: Kerberos does nothing in it)
//	gss_context_query_attributes                (Heimdal's; it answers zeros)
//	gsskrb5_get_subkey                          SecContext.SessionKey
//	gsskrb5_get_initiator_subkey                SecContext.ExportLucid
//	gsskrb5_extract_service_keyblock            (Heimdal's; the service's long-term key, which is in its keytab)
//
// Messages, always with the default quality of protection:
//
//	gss_wrap                                    SecContext.Wrap
//	gss_unwrap                                  SecContext.Unwrap
//	gss_get_mic                                 SecContext.MIC
//	gss_verify_mic                              SecContext.VerifyMIC
//	gss_wrap_size_limit                         SecContext.WrapSizeLimit
//	gss_wrap_iov                                SecContext.WrapIOV
//	gss_unwrap_iov                              SecContext.UnwrapIOV
//	gss_wrap_iov_length                         (inside SecContext.WrapIOV, which makes the parts)
//	gss_get_mic_iov                             SecContext.MICIOV
//	gss_get_mic_iov_length                      (inside SecContext.MICIOV, which makes the part)
//	gss_verify_mic_iov                          SecContext.VerifyMICIOV
//	gss_wrap_aead                               SecContext.WrapAEAD
//	gss_unwrap_aead                             SecContext.UnwrapAEAD
//	gss_seal                                    (old name of gss_wrap)
//	gss_unseal                                  (old name of gss_unwrap)
//	gss_sign                                    (old name of gss_get_mic)
//	gss_verify                                  (old name of gss_verify_mic)
//
// Mechanisms:
//
//	gss_indicate_mechs                          Mechs
//	gss_indicate_mechs_by_attrs                 MechsByAttrs
//	gss_inquire_attrs_for_mech                  DescribeMech
//	gss_display_mech_attr                       DescribeMechAttr
//	gss_inquire_names_for_mech                  DescribeMech
//	gss_inquire_mech_for_saslname               MechBySASLName
//	gss_inquire_saslname_for_mech               DescribeMech
//	gss_encapsulate_token                       Encapsulate
//	gss_decapsulate_token                       Decapsulate
//	gss_oid_to_str                              OID.String
//	gss_str_to_oid                              ParseOID
//	gss_oid_equal                               (an OID is comparable)
//	gss_oid_to_name                             (Heimdal's; names of symbols in C)
//	gss_name_to_oid                             (Heimdal's; names of symbols in C)
//	gss_display_status                          Error
//	gssspi_mech_invoke                          (what it sets is the process's)
//	gss_mo_get                                  (Heimdal's; state of the process)
//	gss_mo_set                                  (Heimdal's; state of the process)
//	gss_mo_list                                 (Heimdal's; state of the process)
//	gss_mo_name                                 (Heimdal's; state of the process)
//	gss_mg_collect_error                        (Heimdal's; for mechanisms)
//	gsskrb5_set_dns_canonicalize                (Heimdal's; state of the thread: krb5.conf)
//	gsskrb5_set_default_realm                   (Heimdal's; state of the thread: krb5.conf)
//	gsskrb5_set_time_offset                     (Heimdal's; state of the thread)
//	gsskrb5_get_time_offset                     (Heimdal's; state of the thread)
//	gsskrb5_set_send_to_kdc                     (Heimdal's; it fails)
//	gss_krb5int_make_seal_token_v3              (MIT's own, in no header)
//	gss_krb5int_unseal_token_v3                 (MIT's own, in no header)
//
// Memory, which has no Go names: buffers, sets and OIDs are Go values:
//
//	gss_release_buffer                          (memory: inside)
//	gss_release_buffer_set                      (memory: inside)
//	gss_create_empty_buffer_set                 (memory: inside)
//	gss_add_buffer_set_member                   (memory: inside)
//	gss_release_iov_buffer                      (memory: inside)
//	gss_release_oid                             (memory: inside)
//	gss_duplicate_oid                           (memory: inside)
//	gss_release_oid_set                         (memory: inside)
//	gss_create_empty_oid_set                    (memory: inside)
//	gss_add_oid_set_member                      (memory: inside)
//	gss_test_oid_set_member                     (memory: inside)
package gssapi
