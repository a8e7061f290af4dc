#!/usr/bin/perl
# The contract against the code: openapi.yaml has the routes of src/api/routes.c and no others, with their methods and roles,
# and each problem code in it is one that the service (base/err.h) or nginx (http.conf.in) has, under the same status.
use Test2::V0;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use YAML::PP;

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');

sub slurp {
    my ($file) = @_;
    open my $in, '<', "$source/$file" or die "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

my $contract = YAML::PP->new(boolean => 'perl')->load_string(slurp('openapi.yaml'));

# --- what the code says ---

# "GET /path" => the names of the roles, sorted, from the table with its macros and enums filled in.
sub routes {
    my $text = slurp('src/api/routes.c');
    my %sets = $text =~ /^\t(\w+) = ((?:ROLE_\w+|\w+)(?: \| \w+)*),$/mg;
    my %paths = map { $_->[0] => $_->[1] } map { [ /(\w+) +(.*)/ ] } $text =~ /^#define (\w+ +(?:\w+ )?"[^"]*")$/mg;
    my $path = sub {
        my ($expression) = @_;
        1 while $expression =~ s/\b([A-Z]+)\b(?=(?:[^"]*"[^"]*")*[^"]*$)/$paths{$1} \/\/ die "no $1"/e;
        return join '', $expression =~ /"([^"]*)"/g;
    };
    my $roles = sub {
        my ($expression) = @_;
        1 while $expression =~ s/\b(?!ROLE_)([A-Z]+)\b/$sets{$1} \/\/ die "no $1"/e;
        my %seen = map { lc $_ => 1 } $expression =~ /ROLE_(\w+)/g;
        return [ sort keys %seen ];
    };
    my ($table) = $text =~ /routes\[\] = \{\n(.*?)^\};/ms or die 'no table of routes';
    return map { my ($method, $pattern, undef, $who) = split /,\s*/; ("$method " . $path->($pattern) => $roles->($who)) }
        $table =~ /\{METHOD_(.*?)\}(?=,\n)/gs;
}

# code => status, of the service and of nginx.
sub codes {
    my %code_of = slurp('src/base/err.h') =~ /X\((\w+), "(\w+)"/g;
    my %status_of = slurp('src/http/response.c') =~ /\[ERR_(\w+)\] = (\d+),/g;
    my %statuses;
    $statuses{ $code_of{$_} }{ $status_of{$_} } = 1 for grep { $_ ne 'OK' } keys %status_of;
    my ($map) = slurp('nginx/http.conf.in') =~ /\$battlepass_problem_code \{(.*?)\n\}/s or die 'no table in http.conf.in';
    $statuses{$2}{$1} = 1 while $map =~ /^\t(\d+) (\w+);/mg;
    return \%statuses;
}

# --- what the contract says ---

sub resolve {
    my ($node) = @_;
    while (my $reference = $node->{'$ref'}) {
        my ($where, @steps) = split m{/}, $reference;
        $node = $contract;
        $node = $node->{$_} // die "$reference leads nowhere" for @steps;
    }
    return $node;
}

my %operations; # "GET /path" => operation
for my $path (keys %{ $contract->{paths} }) {
    my $item = $contract->{paths}{$path};
    $operations{ uc($_) . " $path" } = $item->{$_} for grep { /^(?:get|put|post|delete|patch|head|options)$/ } keys %$item;
}

# The codes that one response names: every "code" whose values are listed.
sub named_codes {
    my ($node) = @_;
    return map { named_codes($_) } @$node if ref $node eq 'ARRAY';
    return () unless ref $node eq 'HASH';
    my $code = $node->{code};
    return (ref $code eq 'HASH' && $code->{enum} ? @{ $code->{enum} } : (), map { named_codes($_) } @$node{ sort keys %$node });
}

my %routes = routes();
ok(keys %routes >= 30, 'the table of routes was understood');
is([ sort keys %operations ], [ sort keys %routes ], 'the routes and their methods');
is([ sort @{ $operations{$_}{'x-roles'} // ['none listed'] } ], $routes{$_}, "$_: roles") for grep { $operations{$_} } sort keys %routes;

my $codes = codes();
ok(keys %$codes > 20, 'the tables of codes were understood');
for my $name (sort keys %operations) {
    my $operation = $operations{$name};
    my @wrong;
    for my $status (sort keys %{ $operation->{responses} }) {
        my $response = resolve($operation->{responses}{$status});
        my $schema = ($response->{content} // {})->{'application/problem+json'}{schema};
        my @named = named_codes($schema);
        push @wrong, "$status names no code" if $status ge '4' && !@named;
        for my $code (@named) {
            push @wrong, "$status $code" unless $codes->{$code} && ($status eq 'default' || $codes->{$code}{$status});
        }
    }
    is(\@wrong, [], "$name: problem codes");
    # Where the caller is asked who he is, the contract says so, and the other way round.
    my $asked = !$operation->{security} || @{ $operation->{security} };
    is(!!$asked, !!@{ $routes{$name} // [] }, "$name: security");
    is(!!$operation->{responses}{401}, !!$asked, "$name: 401");
}
# Results of single entries carry codes of their own.
for my $name ('LookupAnswer', 'BatchAnswer') {
    my @named = named_codes($contract->{components}{schemas}{$name});
    ok(@named, "$name names codes");
    is([ grep { !$codes->{$_} } @named ], [], "$name: codes");
}

# The actions that the audit can be asked for are those that are told.
my ($actions) = slurp('src/api/audit.c') =~ /actions\[\] = \{(.*?)\};/s or die 'no table of actions';
is([ sort $actions =~ /"(\w+)"/g ], [ sort @{ $contract->{components}{schemas}{AuditAction}{enum} } ], 'the actions of the audit');

# Each parameter of a path is declared.
for my $path (sort keys %{ $contract->{paths} }) {
    my @declared = map { $_->{in} eq 'path' ? $_->{name} : () } map { resolve($_) } @{ $contract->{paths}{$path}{parameters} // [] };
    is([ sort @declared ], [ sort $path =~ /\{(\w+)\}/g ], "$path: parameters");
}

done_testing;
